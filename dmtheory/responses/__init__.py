"""Trained models' outputs and how they are collected."""
