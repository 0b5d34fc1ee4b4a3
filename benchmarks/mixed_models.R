# The jobs of mixed_models.py in R: Rscript mixed_models.R lme4|nlme|zero TABLE.csv. One line of JSON on standard output.
arguments <- commandArgs(trailingOnly = TRUE)
suppressMessages(library(if (arguments[1] == "nlme") "nlme" else "lme4", character.only = TRUE))
frame <- read.csv(arguments[2])

fixed <- log_homa_ir ~ years * progressor + age + male + bmi + smoker
mixed <- log_homa_ir ~ years * progressor + age + male + bmi + smoker + (1 + years | participant_id)
zero <- y ~ years + (1 + years | participant_id)

fitted_by <- list(
  lme4 = function(frame) lmer(mixed, frame),
  nlme = function(frame) lme(fixed, data = frame, random = ~ 1 + years | participant_id)
)

numbers <- function(x) paste0("[", paste(sprintf("%.12g", x), collapse = ", "), "]")
named <- function(x) paste0("{", paste(sprintf('"%s": %.12g', gsub("[()]", "", names(x)), x), collapse = ", "), "}")
version <- function(package) as.character(packageVersion(package))

if (arguments[1] == "zero") {
  tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-11), check.conv.singular = "ignore",
                       check.conv.grad = "ignore", check.conv.hess = "ignore")
  said <- sapply(split(frame, frame$cohort), function(cohort) {
    fit <- suppressMessages(suppressWarnings(lmer(zero, cohort)))
    warned <- grepl("failed to converge|nearly unidentifiable", fit@optinfo$conv$lme4$messages)
    c(fit@optinfo$conv$opt == 0 && !any(warned), isSingular(fit), isSingular(lmer(zero, cohort, control = tight)))
  })
  cat(sprintf('{"converged": %s, "singular": %s, "truly": %s}\n', numbers(said[1, ]), numbers(said[2, ]),
              numbers(said[3, ])))
  quit()
}

fitted <- fitted_by[[arguments[1]]]
small <- suppressWarnings(fitted(frame[seq_len(400), ]))
started <- proc.time()[["elapsed"]]
fit <- fitted(frame)
seconds <- proc.time()[["elapsed"]] - started
most <- sub("[^0-9]*([0-9]+).*", "\\1", grep("VmHWM", readLines("/proc/self/status"), value = TRUE))
cat(sprintf(
  '{"seconds": %.6f, "gigabytes": %.6f, "log_likelihood": %.10g, "estimates": %s, "errors": %s, "version": "%s"}\n',
  seconds, as.numeric(most) * 1024 / 1e9, as.numeric(logLik(fit)), named(fixef(fit)),
  named(setNames(sqrt(diag(as.matrix(vcov(fit)))), names(fixef(fit)))), version(arguments[1])
))
