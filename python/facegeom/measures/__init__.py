"""Shared by training and evaluation: error measures, predictors, and the tables and pictures of benchmark reports."""
