# Makes prediction_reference.csv: what lme4 predicts on lmm_data.csv (made by lme4_reference.R).
# Run in this directory: Rscript prediction_reference.R   (Debian: r-cran-lme4)
suppressMessages(library(lme4))

data <- read.csv("lmm_data.csv")
models <- c(
  "y ~ years + (1 + years | participant_id)",
  "y ~ years * progressor + age + (1 + years | participant_id)",
  "y ~ years + age + (1 | participant_id)",
  "y ~ years + (1 + years || participant_id)"
)
version <- as.character(packageVersion("lme4"))

by_lme4 <- function(dataset, model) {
  here <- data[data$dataset == dataset, ]
  control <- lmerControl(check.conv.singular = "ignore", check.conv.grad = "ignore", check.conv.hess = "ignore",
                         optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6))
  fit <- lmer(as.formula(model), here, REML = TRUE, control = control)
  label <- function(quantity, participant_id, term, x)
    data.frame(dataset, formula = model, version, quantity, participant_id, term, value = sprintf("%.12g", x))
  modes <- as.data.frame(ranef(fit, condVar = TRUE))
  modes <- modes[modes$grp %in% unique(here$participant_id)[1:12], ]
  first <- here[!duplicated(here$participant_id), ][1:6, ]
  ahead <- transform(first, years = 9)
  stranger <- transform(ahead, participant_id = "nobody")
  row <- match(first$participant_id, here$participant_id)
  standardised <- residuals(fit) / (sigma(fit) * sqrt(1 - hatvalues(fit)))
  rbind(
    label("mode", modes$grp, modes$term, modes$condval),
    label("mode_sd", modes$grp, modes$term, modes$condsd),
    label("personal_at_9", ahead$participant_id, "", predict(fit, ahead)),
    label("population_at_9", ahead$participant_id, "", predict(fit, ahead, re.form = NA)),
    label("stranger_at_9", first$participant_id, "", predict(fit, stranger, allow.new.levels = TRUE)),
    label("residual_of_first_row", first$participant_id, "", residuals(fit)[row]),
    label("standardised_of_first_row", first$participant_id, "", standardised[row])
  )
}

out <- NULL
for (dataset in c("unbalanced", "flat_slopes")) for (model in models) out <- rbind(out, by_lme4(dataset, model))
write.csv(out, "prediction_reference.csv", row.names = FALSE, quote = FALSE)
