"""Problems and designs that the claims alone need."""
