"""Make a drawing program's SVG fit to stand inside a page, beside others like it."""

import re
from collections.abc import Mapping

from markupsafe import Markup, escape

_START = Markup(
    '<svg class="figure" viewBox="{0}" role="img" '
    'aria-labelledby="{1}-title {1}-desc"><title id="{1}-title">{2}</title>'
    '<desc id="{1}-desc">{3}</desc>'
)


def inline_svg(
    svg: str,
    *,
    name: str,
    title: str,
    description: str,
    colours: Mapping[str, str] | None = None,
) -> Markup:
    """Turn a whole SVG document into an inline drawing.

    The result has no fixed size, no metadata, no style that leaks into the page, no
    font of its own, and only the ids that it refers to, each under its own prefix.

    Args:
        svg: The document, with a viewBox.
        name: Prefix of the ids, unique in the page.
        title: What the drawing is, for those who cannot see it.
        description: What it shows, for the same readers.
        colours: What to write in place of a colour, such as a CSS variable.

    Returns:
        The drawing as markup, labelled by its title and description.

    Raises:
        ValueError: If the document has no drawing with a viewBox.
    """
    opening = re.search(r'<svg\b[^>]*\bviewBox="([^"]*)"[^>]*>', svg)
    if opening is None:
        raise ValueError("svg must hold a drawing with a viewBox")
    body = svg[opening.end() :]
    # A style element inside an inline drawing would style the whole page.
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r"<[^>]+>", lambda tag: _tidy_tag(tag.group(), colours or {}), body)
    body = re.sub(r">\s+<", "><", body).replace("<defs></defs>", "")
    body = _hoist_styles(_own_ids(body, name))
    start = _START.format(opening.group(1), name, title, description)
    return start + Markup(body.strip())


def _tidy_tag(tag: str, colours: Mapping[str, str]) -> str:
    tag = re.sub(r"\s+", " ", tag.replace("xlink:href", "href"))
    tag = re.sub(r" font-family:[^;\"]*;?", "", tag)
    tag = re.sub(r' transform="rotate\(-0 [^"]*"', "", tag)
    # A hundredth of a point is finer than any screen.
    tag = re.sub(r"\d+\.\d{3,}", lambda n: f"{float(n.group()):.2f}", tag)
    for colour, replacement in colours.items():
        tag = tag.replace(colour, replacement)
    return tag


def _own_ids(body: str, name: str) -> str:
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', body))
    own = {old: f"{escape(name)}-{index}" for index, old in enumerate(sorted(used))}

    def rename(found: re.Match[str]) -> str:
        old = found.group(1)
        return f' id="{own[old]}"' if old in own else ""

    body = re.sub(r' id="([^"]*)"', rename, body)
    return re.sub(
        r'(href="|url\()#([^")]+)',
        lambda found: f"{found.group(1)}#{own[found.group(2)]}",
        body,
    )


def _hoist_styles(body: str) -> str:
    # Hundreds of points share one style; written once, the page is a third the size.
    def hoist(found: re.Match[str]) -> str:
        opening, uses = found.groups()
        styles = set(re.findall(r'style="([^"]*)"', uses))
        # Plain opacity is not inherited: on a group it would fade the whole.
        if len(styles) != 1 or re.search(r"(?<!-)opacity", uses):
            return found.group()
        plain = re.sub(r' style="[^"]*"', "", uses)
        return f'<g{opening} style="{styles.pop()}">{plain}</g>'

    return re.sub(r"<g([^>]*)>((?:<use [^>]*/>)+)</g>", hoist, body)
