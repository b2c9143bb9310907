// Forecasts a series and prints, for each step, the mean and five quantiles.
//
//   forecast [FORECASTER [SERIES.csv]]
//
// Build lines are in ffi/README.md. The two classes are all that C++ needs: they free what they
// hold and turn statuses into exceptions.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "nowcast.h"

namespace {

// Calls a function of nowcast, which takes its error last.
template <typename Function, typename... Arguments>
void call(Function function, Arguments... arguments) {
    nowcast_error error = NOWCAST_ERROR_INIT;
    if (function(arguments..., &error) != NOWCAST_OK) {
        throw std::runtime_error(error.message);
    }
}

// A model with its series, scale and errors.
class Forecaster {
public:
    explicit Forecaster(const std::string &folder) {
        nowcast_forecaster *raw = nullptr;
        call(nowcast_forecaster_load, folder.c_str(), &raw);
        handle_.reset(raw);
        call(nowcast_forecaster_describe, get(), &info_);
    }

    const nowcast_forecaster *get() const { return handle_.get(); }
    const nowcast_forecaster_info &info() const { return info_; }

private:
    struct Release {
        void operator()(nowcast_forecaster *forecaster) const {
            nowcast_forecaster_release(forecaster, nullptr);
        }
    };
    std::unique_ptr<nowcast_forecaster, Release> handle_;
    nowcast_forecaster_info info_ = NOWCAST_FORECASTER_INFO_INIT;
};

// One thread's memory of a forecaster, which must outlive it.
class Forecast {
public:
    explicit Forecast(const Forecaster &forecaster)
        : horizon_(forecaster.info().horizon),
          memory_(static_cast<char *>(
              ::operator new(forecaster.info().forecast_bytes, ALIGNMENT))) {
        nowcast_forecast *raw = nullptr;
        call(nowcast_forecast_open, forecaster.get(), NOWCAST_ISA_AUTO, memory_.get(),
             forecaster.info().forecast_bytes, &raw);
        handle_.reset(raw);
        call(nowcast_forecast_prefault, raw);
    }

    void run(const std::vector<float> &context, std::int64_t first_step) {
        call(nowcast_forecast_run, handle_.get(), context.data(), context.size(), first_step);
    }

    void mean(std::vector<float> &out) const {
        call(nowcast_forecast_mean, handle_.get(), out.data(), out.size());
    }

    void quantile(double p, std::vector<float> &out) const {
        call(nowcast_forecast_quantile, handle_.get(), p, out.data(), out.size());
    }

    std::size_t horizon() const { return horizon_; }

private:
    static constexpr std::align_val_t ALIGNMENT{NOWCAST_ALIGNMENT};
    struct Free {
        void operator()(char *memory) const { ::operator delete(memory, ALIGNMENT); }
    };
    struct Close {
        void operator()(nowcast_forecast *forecast) const {
            nowcast_forecast_close(forecast, nullptr);
        }
    };
    std::size_t horizon_;
    // Closed before its memory goes: members are destroyed from the last to the first.
    std::unique_ptr<char, Free> memory_;
    std::unique_ptr<nowcast_forecast, Close> handle_;
};

// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that
// a leap day is the last of its year.
std::int64_t days_since_1970(std::int64_t year, std::int64_t month, std::int64_t day) {
    year -= month < 3;
    const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719468;
}

struct Series {
    std::vector<float> values;
    std::int64_t last = 0; // seconds since 1970
};

// Reads lines of "2013-01-01T06:00:00Z,39.02".
Series read_series(const std::string &path) {
    Series series;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        int year, month, day, hour, minute, second;
        float value;
        if (std::sscanf(line.c_str(), "%d-%d-%dT%d:%d:%dZ,%f", &year, &month, &day, &hour,
                        &minute, &second, &value) == 7) {
            series.values.push_back(value);
            series.last = days_since_1970(year, month, day) * 86400 + hour * 3600 +
                          minute * 60 + second;
        }
    }
    return series;
}

void run(const std::string &folder, const std::string &path) {
    // Set-up: load once, then take all the memory that will ever be needed.
    const Forecaster forecaster(folder);
    Forecast forecast(forecaster);
    const Series series = read_series(path);
    const std::size_t context = forecaster.info().context;
    if (series.values.size() < context) {
        throw std::runtime_error(path + " must have at least " + std::to_string(context) +
                                 " lines of time and value");
    }
    const std::vector<float> last(series.values.end() - static_cast<std::ptrdiff_t>(context),
                                  series.values.end());
    constexpr std::array<double, 5> probabilities = {0.05, 0.25, 0.5, 0.75, 0.95};
    std::vector<std::vector<float>> steps(1 + probabilities.size(),
                                          std::vector<float>(forecast.horizon()));

    // Serving: none of these calls allocates, locks or calls the system.
    forecast.run(last, series.last + forecaster.info().step_seconds);
    forecast.mean(steps[0]);
    for (std::size_t q = 0; q < probabilities.size(); q++) {
        forecast.quantile(probabilities[q], steps[q + 1]);
    }

    for (std::size_t step = 0; step < forecast.horizon(); step++) {
        std::printf("%.4f", static_cast<double>(steps[0][step]));
        for (std::size_t q = 1; q < steps.size(); q++) {
            std::printf(" %.4f", static_cast<double>(steps[q][step]));
        }
        std::printf("\n");
    }
}

} // namespace

int main(int argc, char **argv) {
    try {
        if (nowcast_abi_version() != NOWCAST_ABI_VERSION) {
            throw std::runtime_error("nowcast.h is of another version than the library");
        }
        run(argc > 1 ? argv[1] : "models/jfk-temperature",
            argc > 2 ? argv[2] : "models/jfk-temperature/series.csv");
        return EXIT_SUCCESS;
    } catch (const std::exception &error) {
        std::cerr << "forecast: " << error.what() << "\n";
        return EXIT_FAILURE;
    }
}
