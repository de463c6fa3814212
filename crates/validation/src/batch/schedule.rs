//! The schedules of cron jobs, as the cron library that upstream uses reads them.

const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Why a text is no schedule, in the words of that library.
pub(crate) fn schedule_complaint(schedule: &str) -> Option<String> {
    if schedule.is_empty() {
        return Some("empty spec string".to_owned());
    }
    let mut spec = schedule;
    for prefix in ["TZ=", "CRON_TZ="] {
        if let Some(rest) = schedule.strip_prefix(prefix) {
            let (zone, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            if !is_time_zone(zone) {
                return Some(format!("provided bad location {zone}: unknown time zone {zone}"));
            }
            spec = rest.trim();
        }
    }
    if let Some(descriptor) = spec.strip_prefix('@') {
        return descriptor_complaint(spec, descriptor);
    }
    let fields: Vec<&str> = spec.split_whitespace().collect();
    if fields.len() != 5 {
        return Some(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    let bounds: [(u32, u32, &[&str], u32); 5] =
        [(0, 59, &[], 0), (0, 23, &[], 0), (1, 31, &[], 0), (1, 12, &MONTHS, 1), (0, 6, &DAYS, 0)];
    fields.iter().zip(bounds).find_map(|(field, (least, most, names, first))| {
        field
            .split(',')
            .filter(|part| !part.is_empty())
            .find_map(|part| range(part, least, most, names, first).err())
    })
}

fn descriptor_complaint(spec: &str, descriptor: &str) -> Option<String> {
    match descriptor {
        "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly" => None,
        other => match other.strip_prefix("every ") {
            Some(duration) if is_go_duration(duration) => None,
            Some(duration) => {
                Some(format!("failed to parse duration {spec}: time: invalid duration {duration:?}"))
            }
            None => Some(format!("unrecognized descriptor: {spec}")),
        },
    }
}

fn range(part: &str, least: u32, most: u32, names: &[&str], first: u32) -> Result<(), String> {
    let pieces: Vec<&str> = part.split('/').collect();
    let ends: Vec<&str> = pieces[0].split('-').collect();
    let single = ends.len() == 1;
    let value = |text: &str| -> Result<u32, String> {
        let by_name = names.iter().position(|n| n.eq_ignore_ascii_case(text));
        match by_name {
            Some(i) => Ok(first + u32::try_from(i).unwrap_or(0)),
            None => number(text),
        }
    };
    let (start, mut end) = if matches!(ends[0], "*" | "?") {
        (least, most)
    } else {
        let start = value(ends[0])?;
        match ends.len() {
            1 => (start, start),
            2 => (start, value(ends[1])?),
            _ => return Err(format!("too many hyphens: {part}")),
        }
    };
    match pieces.len() {
        1 => {}
        2 => {
            let step = number(pieces[1])?;
            if single && !matches!(ends[0], "*" | "?") {
                end = most;
            }
            if step == 0 {
                return Err(format!("step of range should be a positive number: {part}"));
            }
        }
        _ => return Err(format!("too many slashes: {part}")),
    }
    if start < least {
        return Err(format!("beginning of range ({start}) below minimum ({least}): {part}"));
    }
    if end > most {
        return Err(format!("end of range ({end}) above maximum ({most}): {part}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}"));
    }
    Ok(())
}

fn number(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(n) if n < 0 => Err(format!("negative number ({n}) not allowed: {text}")),
        Ok(n) => Ok(u32::try_from(n).unwrap_or(u32::MAX)),
        Err(_) => {
            Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"))
        }
    }
}

fn is_go_duration(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    if text == "0" {
        return true;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit =
            rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len() - digits);
        if digits == 0 || !matches!(&rest[digits..digits + unit], "ns" | "us" | "µs" | "ms" | "s" | "m" | "h")
        {
            return false;
        }
        rest = &rest[digits + unit..];
    }
    !text.is_empty()
}

/// Why a text names no time zone.
pub(crate) fn time_zone_complaint(zone: &str) -> Option<String> {
    if zone.is_empty() {
        return Some("timeZone must be nil or non-empty string".to_owned());
    }
    if zone.eq_ignore_ascii_case("local") {
        return Some(
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones".to_owned(),
        );
    }
    if is_time_zone(zone) { None } else { Some(format!("unknown time zone {zone}")) }
}

fn is_time_zone(zone: &str) -> bool {
    zone == "UTC" || jiff::tz::db().get(zone).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{schedule_complaint, time_zone_complaint};

    #[test]
    fn schedules_are_read_as_cron_does() {
        for good in
            ["* * * * *", "*/5 0-6,22 1 jan-mar mon", "@hourly", "@every 1h30m", "0 0 ? * 0", "5/15 * * * *"]
        {
            assert_eq!(schedule_complaint(good), None, "{good}");
        }
        for (bad, want) in [
            ("every day", "expected exactly 5 fields, found 2: [every day]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("@never", "unrecognized descriptor: @never"),
        ] {
            assert_eq!(schedule_complaint(bad).as_deref(), Some(want), "{bad}");
        }
    }

    #[test]
    fn time_zones_are_those_of_the_database() {
        assert_eq!(time_zone_complaint("Europe/Berlin"), None);
        assert_eq!(time_zone_complaint("Nowhere/City").as_deref(), Some("unknown time zone Nowhere/City"));
    }
}
