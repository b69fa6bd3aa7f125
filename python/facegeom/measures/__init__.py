"""What training and evaluation share: error measures, predictors, tables and pictures of reports."""
