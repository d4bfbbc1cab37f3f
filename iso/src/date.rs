//! Dates as the disc has them, always in UTC: an image must not tell which
//! time zone it was made in.

#![allow(clippy::cast_sign_loss)] // fields of a date are never negative

/// A point in time, broken down.
struct Civil {
    year: i64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

/// Howard Hinnant's `civil_from_days`: the proleptic Gregorian calendar,
/// counted from 1 March so that the leap day comes last.
fn civil(seconds: i64) -> Civil {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month: month as u8,
        day: (day_of_year - (153 * from_march + 2) / 5 + 1) as u8,
        hour: (rest / 3600) as u8,
        minute: (rest / 60 % 60) as u8,
        second: (rest % 60) as u8,
    }
}

/// What the seven-byte form can tell: 1900-01-01 to 2155-12-31.
const SHORT_RANGE: std::ops::RangeInclusive<i64> = -2_208_988_800..=5_869_583_999;

/// The form of directory records and of Rock Ridge (ECMA-119 9.1.5). A date
/// out of its range becomes the nearest one in it.
pub(crate) fn short(seconds: i64) -> [u8; 7] {
    let c = civil(seconds.clamp(*SHORT_RANGE.start(), *SHORT_RANGE.end()));
    [(c.year - 1900) as u8, c.month, c.day, c.hour, c.minute, c.second, 0]
}

/// The form of volume descriptors: sixteen digits and the zone (ECMA-119
/// 8.4.26.1).
pub(crate) fn long(seconds: i64) -> [u8; 17] {
    let c = civil(seconds);
    let year = c.year.clamp(1, 9999);
    let text = format!("{year:04}{:02}{:02}{:02}{:02}{:02}00", c.month, c.day, c.hour, c.minute, c.second);
    let mut out = [0; 17];
    out[..16].copy_from_slice(text.as_bytes());
    out
}

/// The same form when there is no date.
pub(crate) const LONG_UNSET: [u8; 17] = *b"0000000000000000\0";

/// What FAT can tell: 1980-01-01 to 2107-12-31.
const FAT_RANGE: std::ops::RangeInclusive<i64> = 315_532_800..=4_354_819_199;

/// FAT's date and time, which count in two seconds. A date out of its range
/// becomes the nearest one in it.
pub(crate) fn fat(seconds: i64) -> (u16, u16) {
    let c = civil(seconds.clamp(*FAT_RANGE.start(), *FAT_RANGE.end()));
    let date = ((c.year - 1980) as u16) << 9 | u16::from(c.month) << 5 | u16::from(c.day);
    (date, u16::from(c.hour) << 11 | u16::from(c.minute) << 5 | u16::from(c.second / 2))
}

/// Reads FAT's date and time, which are in nobody's zone: UTC here.
pub(crate) fn from_fat(date: u16, time: u16) -> i64 {
    let (month, day) = (i64::from(date >> 5 & 0xF), i64::from(date & 0x1F));
    if month == 0 || day == 0 {
        return 0;
    }
    let days = days(1980 + i64::from(date >> 9), month, day);
    let seconds = i64::from(time >> 11) * 3600 + i64::from(time >> 5 & 0x3F) * 60 + i64::from(time & 0x1F) * 2;
    days * 86_400 + seconds
}

/// The days from 1970-01-01, by the same calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Reads the form of directory records; the zone is a signed number of
/// quarters of an hour east of Greenwich.
pub(crate) fn from_short(field: [u8; 7]) -> i64 {
    let [year, month, day, hour, minute, second, zone] = field;
    if month == 0 || day == 0 {
        return 0;
    }
    let days = days(1900 + i64::from(year), i64::from(month), i64::from(day));
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    days * 86_400 + seconds - i64::from(zone.cast_signed()) * 900
}

/// Reads the form of volume descriptors; `None` where there is no date.
pub(crate) fn from_long(field: &[u8; 17]) -> Option<i64> {
    let number = |from: usize, to: usize| std::str::from_utf8(&field[from..to]).ok()?.parse::<i64>().ok();
    let days = days(number(0, 4)?, number(4, 6).filter(|&month| month > 0)?, number(6, 8)?);
    let seconds = number(8, 10)? * 3600 + number(10, 12)? * 60 + number(12, 14)?;
    Some(days * 86_400 + seconds - i64::from(field[16].cast_signed()) * 900)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        for (seconds, expected) in [
            (0, &b"1970010100000000\0"[..]),
            (951_782_400, b"2000022900000000\0"),
            (1_709_251_199, b"2024022923595900\0"),
            (4_107_542_400, b"2100030100000000\0"),
            (-1, b"1969123123595900\0"),
        ] {
            assert_eq!(long(seconds), expected, "{seconds}");
        }
        assert_eq!(short(1_709_251_199), [124, 2, 29, 23, 59, 59, 0]);
    }

    #[test]
    fn fat_counts_from_1980_in_two_seconds() {
        let fields = |(date, time): (u16, u16)| {
            [date >> 9, date >> 5 & 0xF, date & 0x1F, time >> 11, time >> 5 & 0x3F, time & 0x1F]
        };
        assert_eq!(fields(fat(1_709_251_199)), [44, 2, 29, 23, 59, 29]);
        assert_eq!(fields(fat(0)), [0, 1, 1, 0, 0, 0]);
        assert_eq!(fields(fat(i64::MAX)), [127, 12, 31, 23, 59, 29]);
        let (date, time) = fat(1_709_251_199);
        assert_eq!(from_fat(date, time), 1_709_251_198);
        assert_eq!(from_fat(0, 0), 0);
    }

    #[test]
    fn dates_become_seconds_again() {
        for seconds in [0, 951_782_400, 1_709_251_199, 4_107_542_400, -1, *SHORT_RANGE.start(), *SHORT_RANGE.end()] {
            assert_eq!(from_short(short(seconds)), seconds);
            assert_eq!(from_long(&long(seconds)), Some(seconds));
        }
        assert_eq!(from_short([70, 1, 1, 1, 0, 0, 4]), 0, "an hour east of Greenwich");
        assert_eq!(from_short([0; 7]), 0);
        assert_eq!(from_long(&LONG_UNSET), None);
        assert_eq!(from_long(b"zzzz-1-1-1-1-100\0"), None);
    }

    #[test]
    fn a_date_out_of_range_becomes_the_nearest() {
        assert_eq!(short(i64::MIN), [0, 1, 1, 0, 0, 0, 0]);
        assert_eq!(short(i64::MAX), [255, 12, 31, 23, 59, 59, 0]);
        assert_eq!(short(*SHORT_RANGE.start()), [0, 1, 1, 0, 0, 0, 0]);
        assert_eq!(short(*SHORT_RANGE.end()), [255, 12, 31, 23, 59, 59, 0]);
    }
}
