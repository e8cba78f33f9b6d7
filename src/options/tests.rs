//! Tests of the options.

use super::*;

/// The options in the help, each with whether it has a value.
fn in_help() -> Vec<(&'static str, bool)> {
    let lines = HELP.lines().filter_map(|line| line.strip_prefix("  --"));
    let options = lines.map(|line| {
        let (name, rest) = line.split_once([' ', ',']).expect("has a text");
        (name, rest.starts_with(|c: char| c.is_ascii_uppercase()))
    });
    options.collect()
}

#[test]
fn the_help_has_every_option_and_no_other_in_the_order_of_the_table() {
    let mut table: Vec<_> = OPTIONS
        .iter()
        .map(|(name, setting)| (*name, !matches!(setting, Flag(_))))
        .collect();
    let limits = table.iter().position(|(name, _)| *name == "keep-alive");
    let limits = limits.expect("begins the limits");
    // `--help` and `--version` are listed before the limits.
    table.splice(limits..limits, [("help", false), ("version", false)]);
    assert_eq!(in_help(), table);
}

/// The configuration that these arguments give.
fn parsed(arguments: &[&str]) -> Result<Config, String> {
    match parse(arguments.iter().map(OsString::from), |_| None)? {
        Invocation::Serve(config) => Ok(*config),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_option_sets_something_and_no_two_the_same() {
    let mut made = vec![Config::default()];
    for (name, setting) in &OPTIONS {
        let value = match *name {
            "listen" => "127.0.0.1:7",
            "log-format" => "json",
            "log" => "off",
            "host" => "a.example",
            "allow-origin" => "https://a.example",
            "trusted-proxy" => "10.0.0.0/8",
            _ => "7",
        };
        let option = format!("--{name}");
        let config = match setting {
            Flag(_) => parsed(&[&option]),
            Value(_) | List(..) => parsed(&[&option, value]),
        };
        let config = config.expect("is right");
        assert!(!made.contains(&config), "{name}");
        made.push(config);
    }
}

#[test]
fn a_time_between_requests_is_in_seconds_and_0_is_no_limit() {
    let keep_alive = |text| parsed(&["--keep-alive", text]).map(|config| config.keep_alive);
    assert_eq!(keep_alive("0"), Ok(None));
    assert_eq!(keep_alive("5"), Ok(Some(Duration::from_secs(5))));
    for bad in ["-1", "1.5", "", "9999999999"] {
        assert!(keep_alive(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_origin_is_kept_as_browsers_send_it() {
    for (text, kept) in [
        ("https://A.example:443", "https://a.example"),
        ("file://", "file://"),
        ("*", "*"),
    ] {
        let config = parsed(&["--allow-origin", text]).expect("is right");
        assert_eq!(config.allow_origins, [kept]);
    }
}

#[test]
fn no_unknown_name_sets_anything() {
    for name in [
        "--",
        "--ech",
        "--echoes",
        "--room",
        "--ECHO",
        "--rooms_per_connection",
    ] {
        let arguments = [name, "7"];
        assert!(parsed(&arguments).is_err(), "{name}");
        assert!(parsed(&arguments[..1]).is_err() || name == "--", "{name}");
    }
}

#[test]
fn an_option_replaces_its_variable_and_a_list_all_of_it() {
    let environment = |name: &str| {
        let value = match name {
            "SARANG_ALLOW_ORIGIN" => "https://a.example, https://b.example",
            "SARANG_ROOMS" => "7",
            "SARANG_ECHO" => "1",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let with = |arguments: &[&str]| match parse(arguments.iter().map(OsString::from), environment) {
        Ok(Invocation::Serve(config)) => (config.allow_origins, config.rooms.rooms, config.echo),
        other => panic!("{other:?}"),
    };
    let own = |origins: &[&str]| {
        origins
            .iter()
            .map(|one| (*one).to_owned())
            .collect::<Vec<_>>()
    };
    let (a, b, c) = (
        "https://a.example",
        "https://b.example",
        "https://c.example",
    );
    assert_eq!(with(&[]), (own(&[a, b]), 7, true));
    assert_eq!(with(&["--rooms", "8"]), (own(&[a, b]), 8, true));
    let arguments = ["--allow-origin", c, "--allow-origin", a];
    assert_eq!(with(&arguments), (own(&[c, a]), 7, true));
}
