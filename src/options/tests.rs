//! Tests of the table of options, and of all that comes from it.

use super::commands::{COMMANDS, SHELLS};
use super::setting::{Effect, Group};
use super::source::Source;
use super::table::OPTIONS;
use super::*;
use crate::config::listen::Listen;

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));

fn no_file(path: &Path) -> Result<Vec<u8>, String> {
    panic!("{} was read", path.display())
}

/// The configuration of a file, of variables and of arguments.
fn configuration(
    file: Option<&str>,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> Result<Config, String> {
    let option = ["--config=f"];
    let option = &option[..usize::from(file.is_some())];
    let arguments = arguments.iter().chain(option).map(OsString::from);
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let read = |_: &Path| Ok(file.expect("there is one").into());
    match parse(arguments, variables, read)? {
        Invocation::Serve { config, .. } => Ok(*config),
        other => panic!("{other:?}"),
    }
}

/// The configuration that these arguments give.
fn parsed(arguments: &[&str]) -> Result<Config, String> {
    configuration(None, &[], arguments)
}

/// The options of a config file.
fn configurable() -> impl Iterator<Item = &'static Setting> {
    OPTIONS.iter().filter(|setting| setting.is_in_file())
}

/// What an option is set to in these tests.
fn example(setting: &Setting) -> &'static str {
    setting.value.as_ref().map_or("true", |value| value.example)
}

#[test]
fn every_option_sets_something_and_no_two_the_same() {
    let mut made = vec![Config::default()];
    for setting in configurable() {
        let option = format!("--{}", setting.name);
        let config = match setting.value {
            None => parsed(&[&option]),
            Some(_) => parsed(&[&option, example(setting)]),
        };
        let config = config.expect("is right");
        assert!(!made.contains(&config), "{option}");
        made.push(config);
    }
}

#[test]
fn an_option_is_the_same_on_the_command_line_in_the_environment_and_in_a_file() {
    for setting in configurable() {
        let value = example(setting);
        let given = parsed(&[&format!("--{}={value}", setting.name)]);
        let environment = configuration(None, &[(&setting.variable(), value)], &[]);
        let line = format!("{} = {value}", setting.name);
        assert!(given.is_ok(), "{line}");
        assert_eq!(given, environment, "{line}");
        assert_eq!(given, configuration(Some(&line), &[], &[]), "{line}");
    }
}

#[test]
fn the_default_of_an_option_is_that_of_the_configuration() {
    for setting in configurable() {
        let Some(default) = setting.default() else {
            continue;
        };
        let mut config = parsed(&[&format!("--{}={}", setting.name, example(setting))]);
        let config = config.as_mut().expect("is right");
        let mut source = Source::new(config);
        source.set(setting, default).expect("is right");
        // Without an address the default one may make way for the sockets of systemd.
        config.listen.retain(|listen| *listen != Listen::default());
        assert_eq!(*config, Config::default(), "{}", setting.name);
    }
}

#[test]
fn help_manual_page_and_completions_name_every_option_and_command() {
    let mut texts = vec![("help", help::overview())];
    texts.push(("manual page", man::page()));
    for shell in SHELLS {
        texts.push((shell, completions::script(shell).expect("a shell")));
    }
    for (what, text) in texts {
        let text = text.replace("\\-", "-");
        for setting in &OPTIONS {
            let name = setting.name;
            let forms = [
                format!("--{name} "),
                format!("--{name}="),
                format!("--{name}["),
                format!("--{name},"),
                format!("--{name}\n"),
                format!("-l {name} "),
            ];
            assert!(
                forms.iter().any(|form| text.contains(form)),
                "{what}: {name}"
            );
        }
        for command in &COMMANDS {
            assert!(text.contains(command.name), "{what}: {}", command.name);
        }
        let is_plain = |letter: char| letter == '\n' || (' '..='~').contains(&letter);
        assert!(text.chars().all(is_plain), "{what}");
    }
}

#[test]
fn the_help_lists_every_option_once_by_groups() {
    let help = help::overview();
    let listed: Vec<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  --"))
        .map(|line| line.split([' ', ',']).next().expect("a name"))
        .collect();
    let table: Vec<&str> = OPTIONS.iter().map(|setting| setting.name).collect();
    assert_eq!(listed, table);
    for group in Group::ALL {
        assert!(help.contains(group.title()));
    }
    for line in help.lines() {
        let length = line.chars().count();
        assert!(length <= help::LINE_CHARS_MAX, "{length}: {line}");
    }
}

#[test]
fn the_help_of_one_option_tells_its_default_and_all_ways_to_set_it() {
    for setting in &OPTIONS {
        let text = help::of(setting.name).expect("there is one");
        assert_eq!(help::of(&format!("--{}", setting.name)), Ok(text.clone()));
        assert!(text.contains(&format!("--{}", setting.name)), "{text}");
        assert!(text.contains(setting.default().unwrap_or("")), "{text}");
        if setting.is_in_file() {
            assert_eq!(help::of(&setting.variable()), Ok(text.clone()));
            let value = example(setting);
            assert!(text.contains(&setting.variable()), "{text}");
            assert!(
                text.contains(&format!("{} = {value}", setting.name)),
                "{text}"
            );
        }
    }
    // That of `help` is the option's.
    for command in commands::named().filter(|command| command.name != "help") {
        let text = help::of(command.name).expect("there is one");
        assert!(text.contains(&command.usage()), "{text}");
    }
    assert!(help::of("lsiten").is_err_and(|what| what.contains("sarang help listen")));
}

/// The rows of README's table.
fn readme_table() -> String {
    let mut table = String::from("| option | default | meaning |\n|---|---|---|\n");
    for group in Group::ALL {
        table.push_str(&format!("| **{}** | | |\n", group.title()));
        for setting in OPTIONS.iter().filter(|setting| setting.group == group) {
            let default = setting.default().map(|default| format!("`{default}`"));
            let repeatable = if setting.is_list() {
                "; repeatable"
            } else {
                ""
            };
            let details = match setting.details {
                "" => String::new(),
                details => format!(". {}", details.trim_end_matches('.')),
            };
            table.push_str(&format!(
                "| `{}` | {} | {}{repeatable}{details} |\n",
                setting.usages(),
                default.unwrap_or_default(),
                setting.help
            ));
        }
    }
    table
}

#[test]
fn the_table_in_readme_is_this_table() {
    let table = readme_table();
    assert!(README.contains(&table), "README should have:\n{table}");
}

#[test]
fn no_option_is_hidden_by_a_variable_of_kubernetes() {
    for setting in &OPTIONS {
        let name = setting.variable();
        let is_of_a_service = name == "SARANG_PORT"
            || name.starts_with("SARANG_PORT_")
            || name.starts_with("SARANG_SERVICE_");
        assert!(!is_of_a_service, "{name}");
    }
}

fn warnings(variables: &[(&str, &str)]) -> Vec<String> {
    let variables = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    match parse([], variables, no_file) {
        Ok(Invocation::Serve { warnings, .. }) => warnings,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_variable_that_is_no_option_is_told_with_the_one_that_was_meant() {
    let told = warnings(&[
        ("SARANG_LISTN", "secret"),
        ("SARANG_ROOMS", "7"),
        ("SARANG_\u{1b}[2J", "1"),
        ("OTHER", "1"),
        ("sarang_rooms", "1"),
    ]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].ends_with("did you mean SARANG_LISTEN?"), "{told:?}");
    let all = told.concat();
    assert!(!all.contains("secret") && !all.contains('\u{1b}'), "{all}");
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_are_not_told() {
    let told = warnings(&[
        ("SARANG_PORT", "tcp://10.0.0.1:8000"),
        ("SARANG_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("SARANG_SERVICE_PORT", "8000"),
        ("SARANG_SERVICE_PORT_HTTP", "8000"),
        ("SARANG_WEB_SERVICE_HOST", "10.0.0.1"),
        ("SARANG_WEB_SERVICE_PORT", "8000"),
        ("SARANG_WEB_PORT", "tcp://10.0.0.1:8000"),
        ("SARANG_OTHER_PORT", "8000"),
    ]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("SARANG_OTHER_PORT"), "{told:?}");
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let file = "rooms = 1\nroom-users = 1\ncontent-chars = 1\nguests = true\necho = 1";
    let variables = [
        ("SARANG_ROOM_USERS", "2"),
        ("SARANG_ROOMS", "2"),
        ("SARANG_GUESTS", "0"),
    ];
    let config = configuration(Some(file), &variables, &["--rooms", "3", "--echo=false"]);
    let config = config.expect("is right");
    let limits = &config.rooms;
    assert_eq!(
        (limits.rooms, limits.room_users, limits.content_chars),
        (3, 2, 1)
    );
    assert_eq!((config.guests, config.echo), (false, false));
}

#[test]
fn the_values_of_a_list_add_up_in_one_source_and_replace_those_of_the_sources_below() {
    let file = "host = a.example\n# another\nhost=b.example\n";
    let hosts = |variables: &[(&str, &str)], arguments: &[&str]| {
        configuration(Some(file), variables, arguments).map(|config| config.hosts)
    };
    let list = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect());
    let variable = [("SARANG_HOST", "c.example, d.example")];
    assert_eq!(hosts(&[], &[]), list(&["a.example", "b.example"]));
    assert_eq!(hosts(&variable, &[]), list(&["c.example", "d.example"]));
    let arguments = ["--host", "e.example", "--host", "f.example"];
    assert_eq!(
        hosts(&variable, &arguments),
        list(&["e.example", "f.example"])
    );
}

#[test]
fn an_error_in_a_file_names_the_line() {
    for (file, culprits) in [
        ("# comment\n\nrooms = many", ["f:3: ", "rooms"]),
        ("lsiten = 127.0.0.1:7", ["f:1: ", "did you mean listen?"]),
        ("--rooms = 7", ["f:1: ", "did you mean rooms?"]),
        ("room_users = 7", ["f:1: ", "did you mean room-users?"]),
        ("\r\nguests\r\n", ["f:2: ", "guests = true"]),
        ("rooms 7", ["f:1: ", "rooms = N"]),
        ("guests = yes", ["f:1: ", "true or false"]),
        ("log = wran", ["f:1: ", "did you mean warn?"]),
        ("users =", ["f:1: ", "users needs a value"]),
        (
            "config = other",
            ["f:1: ", "cannot be set in a config file"],
        ),
        ("help = true", ["f:1: ", "cannot be set in a config file"]),
        ("rooms = 1\nrooms = 2", ["f:2: ", "rooms is set twice"]),
        ("rooms = 7 # seven", ["f:1: ", "7 # seven"]),
        ("rooms = \"7\"", ["f:1: ", "rooms"]),
    ] {
        let error = configuration(Some(file), &[], &[]).expect_err(file);
        assert!(culprits.iter().all(|one| error.contains(one)), "{error}");
    }
    let arguments = ["--config", "f"].map(OsString::from);
    let error = parse(arguments, [], |_| Ok(b"rooms = 7\n\xff".into()));
    assert!(error.is_err_and(|what| what.starts_with("f:2: ")));
}

#[test]
fn the_config_file_may_be_named_by_a_variable_and_the_command_line_wins() {
    let named = |arguments: &[&str]| {
        let variables = [(
            OsString::from("SARANG_CONFIG"),
            OsString::from("of-variable"),
        )];
        let arguments = arguments.iter().map(OsString::from);
        let read = |path: &Path| Err(path.display().to_string());
        parse(arguments, variables, read).expect_err("no file")
    };
    assert_eq!(named(&[]), "SARANG_CONFIG: of-variable");
    assert_eq!(named(&["--config", "of-option"]), "--config: of-option");
}

#[test]
fn a_command_takes_users_from_the_config_file() {
    let arguments = ["user", "list", "--config", "f"].map(OsString::from);
    let list = UserCommand::List {
        file: "people".into(),
    };
    let read = |_: &Path| Ok(b"users = people\n".into());
    assert_eq!(parse(arguments, [], read), Ok(Invocation::User(list)));
}

#[test]
fn help_and_version_need_no_valid_environment() {
    for argument in ["--help", "help", "--version", "man"] {
        let variables = [("SARANG_ROOMS".into(), "many".into())];
        let printed = parse([argument.into()], variables, no_file);
        assert!(matches!(printed, Ok(Invocation::Print(_))), "{argument}");
    }
}

#[test]
fn a_check_may_look_beyond_loopback_and_needs_a_port() {
    let check = |listen: &str| {
        let arguments = ["check", "--listen", listen].map(OsString::from);
        parse(arguments, [], no_file)
    };
    assert!(matches!(check("0.0.0.0:7"), Ok(Invocation::Check(_))));
    assert!(matches!(check("unix:s"), Ok(Invocation::Check(_))));
    assert!(check("127.0.0.1:0").is_err_and(|what| what.contains("--listen")));
}

#[test]
fn no_option_is_in_two_places_and_switches_have_no_value() {
    for (index, setting) in OPTIONS.iter().enumerate() {
        assert!(
            OPTIONS[..index]
                .iter()
                .all(|other| other.name != setting.name)
        );
        let is_switch = matches!(setting.effect, Effect::Switch(_) | Effect::Print);
        assert_eq!(is_switch, setting.value.is_none(), "{}", setting.name);
        let is_sentence = setting.details.is_empty() || setting.details.ends_with('.');
        assert!(
            is_sentence && !setting.help.ends_with('.'),
            "{}",
            setting.name
        );
    }
}

#[test]
fn a_time_between_requests_is_in_seconds_and_0_is_no_limit() {
    use std::time::Duration;
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
