# Makes textbook/*.csv (measurements from published experiments) and textbook_fits.csv and textbook_estimates.csv (what
# lme4 says of them).
# Run in this directory: Rscript textbook_reference.R   (Debian: r-cran-lme4, r-cran-nlme); names of data sets as arguments
# limit the fits to these.
#
# The numbers were published in the works cited below, and are taken from the R packages lme4 and nlme, whose own help
# pages name these sources. Grouping factors are written as text, polynomial terms as columns; "yield", a word that
# Python keeps for itself, is renamed.
suppressMessages(library(nlme))
source("by_lme4.R")

from <- function(package, name) {
  place <- new.env()
  data(list = name, package = package, envir = place)
  as.data.frame(get(name, place))
}

made <- list(
  # Belenky 2003, J Sleep Res 12:1-12, doi:10.1046/j.1365-2869.2003.00337.x
  sleepstudy = transform(from("lme4", "sleepstudy"), Subject = paste0("s", Subject)),
  # Davies and Goldsmith 1972, Statistical Methods in Research and Production, section 6.4
  dyestuff = from("lme4", "Dyestuff"),
  # Box and Tiao 1973, Bayesian Inference in Statistical Analysis, section 5.1.2 (made so that batches do not differ)
  dyestuff2 = from("lme4", "Dyestuff2"),
  # Davies and Goldsmith 1972, section 6.5
  pastes = from("lme4", "Pastes")[c("strength", "batch", "sample")],
  # Davies and Goldsmith 1972, section 6.6
  penicillin = from("lme4", "Penicillin"),
  # Cook 1938, in Cochran and Cox 1957, Experimental Designs, table 7.5
  cake = transform(from("lme4", "cake"), mix = paste0(recipe, replicate))[c("angle", "recipe", "temp", "mix")],
  # Potthoff and Roy 1964, Biometrika 51:313-326, doi:10.1093/biomet/51.3-4.313
  orthodont = from("nlme", "Orthodont"),
  # Goldstein 1987, in Pinheiro and Bates 2000, Mixed-Effects Models in S and S-PLUS, appendix A.19
  oxboys = transform(from("nlme", "Oxboys"), Subject = paste0("b", Subject), age2 = age^2)[
    c("Subject", "age", "age2", "height")],
  # Devore 2000, in Pinheiro and Bates 2000, appendix A.26
  rail = transform(from("nlme", "Rail"), Rail = paste0("r", Rail)),
  # Crowder and Hand 1990, Analysis of Repeated Measures, example 2.2
  bodyweight = transform(from("nlme", "BodyWeight"), Rat = paste0("r", Rat), Diet = paste0("d", Diet)),
  # Pierson and Ginther 1987, Anim Reprod Sci 14:219-231, in Pinheiro and Bates 2000, appendix A.18
  ovary = transform(from("nlme", "Ovary"), Mare = paste0("m", Mare), sine = sin(2 * pi * Time),
                    cosine = cos(2 * pi * Time)),
  # Milliken and Johnson 1992, Analysis of Messy Data, in Pinheiro and Bates 2000, appendix A.14
  machines = transform(from("nlme", "Machines"), Worker = paste0("w", Worker)),
  # Pinheiro and Bates 2000, appendix A.24
  pixel = transform(from("nlme", "Pixel"), Dog = paste0("d", Dog), day2 = day^2, Side = NULL),
  # Vonesh and Carter 1992, Biometrics 48:1-18, doi:10.2307/2532734
  dialyzer = transform(from("nlme", "Dialyzer"), Subject = paste0("s", Subject), QB = paste0("q", QB),
                       pressure2 = pressure^2, pressure3 = pressure^3, pressure4 = pressure^4, index = NULL),
  # Hand and Crowder 1996, Practical Longitudinal Data Analysis
  glucose = transform(from("nlme", "Glucose"), Subject = paste0("s", Subject), Time2 = Time^2, Time3 = Time^3),
  # Davidian and Giltinan 1995, Nonlinear Models for Repeated Measurement Data, section 3.2
  igf = transform(from("nlme", "IGF"), Lot = paste0("l", Lot)),
  # Prater 1956, in Daniel and Wood 1980, Fitting Equations to Data
  gasoline = transform(from("nlme", "Gasoline"), Sample = paste0("s", Sample), output = yield)[
    c("output", "endpoint", "vapor", "Sample")],
  # Devore 2000, in Pinheiro and Bates 2000, appendix A.9
  ergostool = from("nlme", "ergoStool"),
  # Pinheiro and Bates 2000, appendix A.25 (Dempster 1984)
  ratpup = transform(from("nlme", "RatPupWeight"), Litter = paste0("l", Litter)),
  # Davidian and Giltinan 1995, section 1.1.3
  soybean = transform(from("nlme", "Soybean"), Year = paste0("y", Year)),
  # Diggle, Liang and Zeger 1994, Analysis of Longitudinal Data, example 1.4
  milk = from("nlme", "Milk"),
  # Ludbrook 1994, Cardiovasc Res 28:303-311, in Venables and Ripley 2002
  pbg = transform(from("nlme", "PBG"), Run = NULL, Rabbit = paste0("r", Rabbit)),
  # Diggle, Liang and Zeger 1994, example 1.3
  spruce = transform(from("nlme", "Spruce"), plot = paste0("p", plot)),
  # Joyner and Boore 1981, Bull Seismol Soc Am 71:2011-2038
  earthquake = transform(from("nlme", "Earthquake"), Quake = paste0("q", Quake), soil = paste0("s", soil)),
  # Baumann and Waldvogel 1963, in Venables and Ripley 2002
  muscle = transform(from("nlme", "Muscle"), logconc = log(conc)),
  # Stroup and Baenziger 1994, in Pinheiro and Bates 2000, appendix A.31: 56 varieties
  wheat = transform(from("nlme", "Wheat2"), Block = paste0("b", Block), output = yield)[
    c("Block", "variety", "output")]
)

models <- list(
  sleepstudy = c("Reaction ~ Days + (1 + Days | Subject)", "Reaction ~ Days + (1 + Days || Subject)",
                 "Reaction ~ Days + (1 | Subject)", "log(Reaction) ~ Days + (0 + Days | Subject)"),
  dyestuff = "Yield ~ 1 + (1 | Batch)",
  dyestuff2 = "Yield ~ 1 + (1 | Batch)",
  pastes = c("strength ~ 1 + (1 | sample)", "strength ~ 1 + (1 | batch)"),
  penicillin = c("diameter ~ 1 + (1 | plate)", "diameter ~ 1 + (1 | sample)", "diameter ~ sample + (1 | plate)"),
  cake = c("angle ~ recipe * temp + (1 | mix)", "angle ~ recipe + temp + (1 + temp | mix)"),
  orthodont = c("distance ~ age * Sex + (1 | Subject)", "distance ~ age * Sex + (1 + age | Subject)",
                "distance ~ age + Sex + (1 + age || Subject)"),
  oxboys = c("height ~ age + (1 + age | Subject)", "height ~ age + age2 + (1 + age + age2 | Subject)",
             "height ~ poly(age, 4) + (1 + age + age2 | Subject)", "height ~ cr(age, df=3) + (1 + age | Subject)",
             "height ~ bs(age, df=5) + (1 + age | Subject)"),
  rail = "travel ~ 1 + (1 | Rail)",
  bodyweight = c("weight ~ Time * Diet + (1 + Time | Rat)", "weight ~ Time * Diet + (1 | Rat)"),
  ovary = c("follicles ~ sine + cosine + (1 + sine | Mare)", "follicles ~ sine + cosine + (1 + sine || Mare)",
            "follicles ~ sine + cosine + (1 + sine + cosine | Mare)"),
  machines = c("score ~ Machine + (1 | Worker)", "score ~ Machine + (1 + Machine | Worker)",
               "score ~ Machine + (0 + Machine | Worker)"),
  pixel = "pixel ~ day + day2 + (1 + day | Dog)",
  dialyzer = c("rate ~ (pressure + pressure2 + pressure3 + pressure4) * QB + (1 + pressure + pressure2 | Subject)",
               "rate ~ (pressure + pressure2 + pressure3 + pressure4) * QB + (1 | Subject)"),
  glucose = c("conc ~ (Time + Time2 + Time3) * Meal + (1 | Subject)", "conc ~ poly(Time, 3) + Meal + (1 + Time | Subject)"),
  igf = c("conc ~ age + (1 + age | Lot)", "conc ~ age + (1 + age || Lot)"),
  gasoline = c("output ~ endpoint + vapor + (1 | Sample)", "output ~ endpoint + (1 + endpoint | Sample)"),
  ergostool = "effort ~ Type + (1 | Subject)",
  ratpup = "weight ~ sex * Treatment + Lsize + (1 | Litter)",
  soybean = "log(weight) ~ Variety * Year + poly(Time, 2) + (1 + Time | Plot)",
  milk = c("protein ~ Diet + Time + (1 + Time | Cow)", "protein ~ Diet * Time + (1 | Cow)"),
  pbg = c("deltaBP ~ Treatment * log(dose) + (1 | Rabbit)", "deltaBP ~ Treatment + log(dose) + (1 + Treatment | Rabbit)"),
  spruce = "logSize ~ days + plot + (1 + days | Tree)",
  earthquake = "log(accel) ~ Richter + log(distance) + soil + (1 | Quake)",
  muscle = "log(length) ~ logconc + (1 + logconc | Strip)",
  wheat = "output ~ variety + (1 | Block)"
)

dir.create("textbook", showWarnings = FALSE)
for (name in names(made)) write.csv(made[[name]], file.path("textbook", paste0(name, ".csv")), row.names = FALSE,
                                    quote = FALSE, na = "")
chosen <- commandArgs(trailingOnly = TRUE)
if (length(chosen) == 0) chosen <- names(models)
asked <- do.call(rbind, lapply(chosen, function(dataset)
  expand.grid(reml = c(1, 0), model = seq_along(models[[dataset]]), dataset = dataset, stringsAsFactors = FALSE)))
asked$formula <- mapply(function(dataset, model) models[[dataset]][model], asked$dataset, asked$model)
# Restricted likelihoods compare only in the same basis, and that of ns is not that of cr.
asked <- asked[!(grepl("cr(", asked$formula, fixed = TRUE) & asked$reml == 1), ]
write_answers(asked, "textbook", "textbook_fits.csv", "textbook_estimates.csv")
