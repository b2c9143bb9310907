//! Civil time in UTC, and what a model is told of it.
//!
//! Owns the arithmetic of dates and [`Feature`]. Its invariant: every number of seconds within
//! [`DateTime::RANGE`] is one date and back again. It knows no time zones and no leap seconds.

use core::f64::consts::TAU;
use core::fmt;
use core::ops::RangeInclusive;
use core::str::FromStr;

const DAY: i64 = 86_400;
/// Days in 400 years of the Gregorian calendar, after which it repeats.
const ERA_DAYS: i64 = 146_097;
/// Days from 1 March of year 0 to 1 January 1970.
const EPOCH_DAYS: i64 = 719_468;
/// Days of a mean Gregorian year, the period of the features of the year.
const YEAR_DAYS: f64 = 365.2425;

/// A date and a time of day in UTC (proleptic Gregorian calendar).
///
/// # Examples
/// ```
/// use nowcast::forecast::calendar::DateTime;
///
/// let time: DateTime = "2013-12-31T06:00:00Z".parse()?;
/// assert_eq!(time.unix_seconds(), 1_388_469_600);
/// assert_eq!(DateTime::from_unix_seconds(1_388_469_600), Some(time));
/// assert_eq!(time.to_string(), "2013-12-31T06:00:00Z");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime {
    /// The year, 0 to 9999.
    pub year: u16,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day of the month, from 1.
    pub day: u8,
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The minute, 0 to 59.
    pub minute: u8,
    /// The second, 0 to 59.
    pub second: u8,
}

impl DateTime {
    /// Seconds since 1970 that have a date: years 0 to 9999.
    pub const RANGE: RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

    /// The date and time this many seconds after 1 January 1970, if it is within
    /// [`DateTime::RANGE`].
    pub fn from_unix_seconds(seconds: i64) -> Option<Self> {
        if !Self::RANGE.contains(&seconds) {
            return None;
        }
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY);
        Some(Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: (second / 3600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
        })
    }

    /// Seconds since 1 January 1970.
    pub fn unix_seconds(self) -> i64 {
        let [hour, minute, second] = [self.hour, self.minute, self.second].map(i64::from);
        let days = days(i64::from(self.year), i64::from(self.month), i64::from(self.day));
        days * DAY + hour * 3600 + minute * 60 + second
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// The text is no date and time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADateTime;

impl fmt::Display for NotADateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a time in UTC such as 2013-12-31T06:00:00Z")
    }
}

impl core::error::Error for NotADateTime {}

/// Reads `2013-12-31T06:00:00Z`. A space may stand for the `T`, `+00:00` or nothing for the `Z`;
/// seconds, or the whole time of day, may be missing.
impl FromStr for DateTime {
    type Err = NotADateTime;

    fn from_str(text: &str) -> Result<Self, NotADateTime> {
        let text = text.strip_suffix('Z').or(text.strip_suffix("+00:00")).unwrap_or(text);
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
        let mut date = date.split('-');
        let mut time = time.split(':');
        let number = |part: Option<&str>, digits: usize, range: RangeInclusive<u16>| {
            let part = part.filter(|p| p.len() == digits && p.bytes().all(|b| b.is_ascii_digit()));
            let number = part.and_then(|p| p.parse().ok()).filter(|n| range.contains(n));
            number.ok_or(NotADateTime)
        };
        let year = number(date.next(), 4, 0..=9999)?;
        let month = number(date.next(), 2, 1..=12)?;
        let day = number(date.next(), 2, 1..=month_days(year, month))?;
        let hour = number(time.next(), 2, 0..=23)?;
        let minute = number(time.next(), 2, 0..=59)?;
        let second = number(time.next().or(Some("00")), 2, 0..=59)?;
        if date.next().is_some() || time.next().is_some() {
            return Err(NotADateTime);
        }
        let [month, day, hour, minute, second] =
            [month, day, hour, minute, second].map(|n| n as u8);
        Ok(Self { year, month, day, hour, minute, second })
    }
}

fn month_days(year: u16, month: u16) -> u16 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

/// Year, month and day of a day counted from 1 January 1970.
///
/// Years begin in March here, so that the leap day is the last of its year, and 400 of them make
/// an era that always has the same days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(EPOCH_DAYS);
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    // Of each era: a day less for every leap day before, back for every century, less for 400.
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March are 153 days in five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Days from 1 January 1970 to a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - EPOCH_DAYS
}

/// One number that a model is told of the time.
///
/// The hour has a period of a day; the year has one of 365.2425 days and starts on 1 January.
/// Both count fractions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum Feature {
    /// Sine of the time of day.
    HourSin = 1,
    /// Cosine of the time of day.
    HourCos = 2,
    /// Sine of the time of year.
    YearSin = 3,
    /// Cosine of the time of year.
    YearCos = 4,
}

impl Feature {
    /// Every feature.
    pub const ALL: [Self; 4] = [Self::HourSin, Self::HourCos, Self::YearSin, Self::YearCos];

    /// Its number in a bundle: pinned.
    #[cfg(feature = "std")]
    pub(super) const fn code(self) -> u32 {
        self as u32
    }

    /// The feature of this number.
    pub(super) fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| *feature as u32 == code)
    }

    /// Its name in a forecaster's description.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HourSin => "hour_sin",
            Self::HourCos => "hour_cos",
            Self::YearSin => "year_sin",
            Self::YearCos => "year_cos",
        }
    }

    /// The feature of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.name() == name)
    }

    /// Its value at a time, -1 to 1.
    ///
    /// **Shapes and units**: seconds since 1970, any number of them.
    ///
    /// **Cost**: no allocation; a sine or cosine, with the same bits on every host.
    ///
    /// # Examples
    /// ```
    /// use nowcast::forecast::calendar::Feature;
    ///
    /// let six_in_the_morning = 1_388_469_600;
    /// assert_eq!(Feature::HourSin.value(six_in_the_morning), 1.0);
    /// ```
    pub fn value(self, unix_seconds: i64) -> f64 {
        let day = unix_seconds.div_euclid(DAY);
        let of_day = unix_seconds.rem_euclid(DAY) as f64 / DAY as f64;
        let year = || {
            let start = days(civil(day).0, 1, 1);
            ((day - start) as f64 + of_day) / YEAR_DAYS
        };
        match self {
            Self::HourSin => libm::sin(TAU * of_day),
            Self::HourCos => libm::cos(TAU * of_day),
            Self::YearSin => libm::sin(TAU * year()),
            Self::YearCos => libm::cos(TAU * year()),
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_356_998_400, "2013-01-01T00:00:00Z"),
            (1_388_448_000, "2013-12-31T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (*DateTime::RANGE.start(), "0000-01-01T00:00:00Z"),
            (*DateTime::RANGE.end(), "9999-12-31T23:59:59Z"),
        ];
        for (seconds, text) in cases {
            let time = DateTime::from_unix_seconds(seconds).expect("in range");
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
            assert_eq!(time.unix_seconds(), seconds);
        }
        assert_eq!(DateTime::from_unix_seconds(DateTime::RANGE.end() + 1), None);
        assert_eq!(DateTime::from_unix_seconds(i64::MIN), None);
    }

    /// Two eras, day by day, against counting.
    #[test]
    fn every_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1570u16, 1u16, 1u16);
        let first = days(1570, 1, 1);
        for n in first..first + 2 * ERA_DAYS {
            assert_eq!(civil(n), (i64::from(year), i64::from(month), i64::from(day)));
            assert_eq!(days(i64::from(year), i64::from(month), i64::from(day)), n);
            day += 1;
            if day > month_days(year, month) {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn forms_of_time() {
        let noon = "2013-06-01T12:00:00Z".parse::<DateTime>();
        for text in [
            "2013-06-01 12:00",
            "2013-06-01T12:00Z",
            "2013-06-01 12:00:00+00:00",
            "2013-06-01T12:00",
        ] {
            assert_eq!(text.parse(), noon, "{text}");
        }
        assert_eq!("2013-06-01".parse::<DateTime>().map(|t| t.hour), Ok(0));
        let refused = [
            "",
            "noon",
            "2013-6-1",
            "2013-02-29",
            "2013-13-01",
            "2013-06-01T24:00",
            "13-06-01",
            "2013-06-01T12:00+02:00",
            "2013-06-01T12:00:00.5Z",
            "2013-06-01T1:00",
            "2013-06-01T",
            "2013-06-01T12",
            "+013-06-01",
            "2013-06-01-01",
            "2013-06-01T12:00:00:00",
        ];
        for text in refused {
            assert_eq!(text.parse::<DateTime>(), Err(NotADateTime), "{text}");
        }
    }

    #[test]
    fn features_turn_with_day_and_year() {
        let at = |text: &str| text.parse::<DateTime>().expect("a time").unix_seconds();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        let half_past_one = at("2013-03-10T01:30:00Z");
        close(Feature::HourSin.value(half_past_one), (TAU * 1.5 / 24.0).sin());
        close(Feature::HourCos.value(half_past_one), (TAU * 1.5 / 24.0).cos());
        let new_year = at("2012-01-01");
        close(Feature::YearSin.value(new_year), 0.0);
        close(Feature::YearCos.value(new_year), 1.0);
        // 2012 is a leap year: 31 + 29 + 9 days and 1.5 hours.
        let turn = TAU * (69.0 + 1.5 / 24.0) / 365.2425;
        close(Feature::YearSin.value(at("2012-03-10T01:30:00Z")), turn.sin());
        close(Feature::YearCos.value(at("2012-03-10T01:30:00Z")), turn.cos());
        for feature in Feature::ALL {
            assert_eq!(Feature::from_name(feature.name()), Some(feature));
            for extreme in [i64::MIN, i64::MAX] {
                assert!(feature.value(extreme).abs() <= 1.0);
            }
        }
    }
}
