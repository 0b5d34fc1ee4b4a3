# Fits the designs that random_designs.py has written: Rscript random_designs.R DIRECTORY   (Debian: r-cran-lme4)
# DIRECTORY holds designs.csv and a table for each; fits.csv and estimates.csv are added. By `python random_designs.py` they
# become random_designs_fits.csv and random_designs_estimates.csv.
source("by_lme4.R")
directory <- commandArgs(trailingOnly = TRUE)[1]
write_answers(read.csv(file.path(directory, "designs.csv")), directory, file.path(directory, "fits.csv"),
              file.path(directory, "estimates.csv"))
