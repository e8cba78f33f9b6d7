//! Scripts with which shells complete commands, options and values.

use super::commands::{self, SHELLS};
use super::names;
use super::setting::{Kind, Setting};
use super::suggestion::did_you_mean;
use super::table::OPTIONS;

/// The script for a shell.
///
/// # Errors
/// There is none for it.
pub fn script(shell: &str) -> Result<String, String> {
    match shell {
        "bash" => Ok(bash()),
        "zsh" => Ok(zsh()),
        "fish" => Ok(fish()),
        _ => Err(format!(
            "\"{shell}\" is not one of {}{}",
            SHELLS.join(", "),
            did_you_mean(shell, SHELLS)
        )),
    }
}

/// The options with a value of some kind, as a pattern of `case`.
fn pattern(is: impl Fn(Kind) -> bool) -> String {
    let with_value = OPTIONS.iter().filter(|setting| {
        let value = setting.value.as_ref();
        value.is_some_and(|value| is(value.kind))
    });
    let names: Vec<String> = with_value
        .map(|setting| format!("--{}", setting.name))
        .collect();
    names.join(" | ")
}

/// All options, as words.
fn option_words() -> String {
    let names: Vec<String> = OPTIONS
        .iter()
        .map(|setting| format!("--{}", setting.name))
        .collect();
    names.join(" ")
}

/// All names that `sarang help` takes, as words.
fn topics() -> String {
    names::all().collect::<Vec<_>>().join(" ")
}

fn bash() -> String {
    let mut cases = String::new();
    for setting in &OPTIONS {
        if let Some(Kind::Words(words)) = setting.value.as_ref().map(|value| value.kind) {
            let words = words.join(" ");
            cases.push_str(&format!(
                "        --{}) words=\"{words}\" ;;\n",
                setting.name
            ));
        }
    }
    let mut arguments = String::new();
    for command in commands::named().filter(|command| !command.words.is_empty()) {
        let mut words = command.words.join(" ");
        if let Some(switch) = &command.switch {
            words.push_str(&format!(" --{}", switch.name));
        }
        arguments.push_str(&format!(
            "            {}) words+=\" {words}\" ;;\n",
            command.name
        ));
    }
    let commands: Vec<&str> = commands::named().map(|command| command.name).collect();
    format!(
        r#"# Completion of sarang for bash: source <(sarang completions bash)
_sarang() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} option=${{COMP_WORDS[COMP_CWORD-1]}} words
    # Bash takes = and : for words of their own.
    if [[ $current == = ]]; then
        current=
    elif [[ $option == = ]]; then
        option=${{COMP_WORDS[COMP_CWORD-2]}}
    elif [[ $option$current == unix: ]]; then
        option=unix: current=
    elif [[ ${{COMP_WORDS[COMP_CWORD-2]}}$option == unix: ]]; then
        option=unix:
    fi
    COMPREPLY=()
    case $option in
        {files} | unix:) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        {hosts}) mapfile -t COMPREPLY < <(compgen -A hostname -- "$current"); return ;;
{cases}        {other}) return ;;
        *)
            words="{options}"
            case ${{COMP_WORDS[1]}} in
                help) words="{topics}" ;;
{arguments}            esac
            ((COMP_CWORD == 1)) && words="{options} {commands}"
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -o filenames -F _sarang sarang
"#,
        files = pattern(|kind| matches!(kind, Kind::File)),
        hosts = pattern(|kind| matches!(kind, Kind::Host)),
        other = pattern(|kind| matches!(kind, Kind::Address | Kind::Free)),
        options = option_words(),
        topics = topics(),
        arguments = arguments.replace("            ", "                "),
        commands = commands.join(" "),
    )
}

/// Text within single quotes.
fn quoted_in_zsh(text: &str) -> String {
    text.replace('\'', "'\\''")
}

/// The same, where colons and brackets mean something.
fn escaped_in_zsh(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace(':', "\\:");
    quoted_in_zsh(&text.replace('[', "\\[").replace(']', "\\]"))
}

/// What follows each command that has words of its own.
fn zsh_arguments() -> String {
    let mut arguments = String::new();
    for command in commands::named().filter(|command| !command.words.is_empty()) {
        let words = command.words.join(" ");
        let switch = command.switch.as_ref();
        let switch = switch.map(|switch| {
            let help = escaped_in_zsh(switch.help);
            format!("; options+=('--{}[{help}]')", switch.name)
        });
        arguments.push_str(&format!(
            "        {}) words_of_command=({words}){} ;;\n",
            command.name,
            switch.unwrap_or_default()
        ));
    }
    arguments
}

fn zsh() -> String {
    let option = |setting: &Setting| {
        let repeatable = if setting.is_list() { "*" } else { "" };
        let form = format!("{repeatable}--{}", setting.name);
        let help = escaped_in_zsh(&setting.summary());
        match &setting.value {
            None => format!("'{form}[{help}]'"),
            Some(value) => {
                let action = match value.kind {
                    Kind::File => "_files".to_owned(),
                    Kind::Host => "_hosts".to_owned(),
                    Kind::Words(words) => format!("({})", words.join(" ")),
                    Kind::Address | Kind::Free => " ".to_owned(),
                };
                format!("'{form}=[{help}]:{}:{action}'", escaped_in_zsh(value.name))
            }
        }
    };
    let options: Vec<String> = OPTIONS
        .iter()
        .map(|setting| format!("        {}\n", option(setting)))
        .collect();
    let commands = commands::named().map(|command| {
        format!(
            "        '{}:{}'\n",
            command.name,
            quoted_in_zsh(command.help)
        )
    });
    let commands: String = commands.collect();
    let arguments = zsh_arguments();
    format!(
        r#"#compdef sarang
# Completion of sarang for zsh: source <(sarang completions zsh), or as a file _sarang in a folder of $fpath.
_sarang() {{
    local state
    local -a commands options words_of_command line
    commands=(
{commands}    )
    options=(
{options}    )
    case ${{words[2]}} in
        help) words_of_command=({topics}) ;;
{arguments}    esac
    _arguments -S $options '1: :->command' '*: :->argument' && return
    case $state in
        command) _describe -t commands command commands ;;
        argument) compadd -- $words_of_command ;;
    esac
}}
if [[ $funcstack[1] == _sarang ]]; then
    _sarang "$@"
else
    compdef _sarang sarang
fi
"#,
        options = options.concat(),
        topics = topics(),
    )
}

fn fish() -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let mut script = String::from(
        "# Completion of sarang for fish: sarang completions fish | source\ncomplete -c sarang -f\n",
    );
    for command in commands::named() {
        script.push_str(&format!(
            "complete -c sarang -n __fish_use_subcommand -a {} -d {}\n",
            command.name,
            quoted(command.help)
        ));
        if !command.words.is_empty() {
            script.push_str(&format!(
                "complete -c sarang -n '__fish_seen_subcommand_from {}' -a {}\n",
                command.name,
                quoted(&command.words.join(" "))
            ));
        }
        if let Some(switch) = &command.switch {
            script.push_str(&format!(
                "complete -c sarang -n '__fish_seen_subcommand_from {}' -l {} -d {}\n",
                command.name,
                switch.name,
                quoted(switch.help)
            ));
        }
    }
    let topics = quoted(&topics());
    script.push_str(&format!(
        "complete -c sarang -n '__fish_seen_subcommand_from help' -a {topics}\n"
    ));
    for setting in &OPTIONS {
        let value = match setting.value.as_ref().map(|value| value.kind) {
            None => String::new(),
            Some(Kind::File) => " -r -F".into(),
            Some(Kind::Host) => " -x -a '(__fish_print_hostnames)'".into(),
            Some(Kind::Words(words)) => format!(" -x -a {}", quoted(&words.join(" "))),
            Some(Kind::Address | Kind::Free) => " -x".into(),
        };
        let short = setting.short().map(|short| format!(" -s {short}"));
        script.push_str(&format!(
            "complete -c sarang -l {}{}{value} -d {}\n",
            setting.name,
            short.unwrap_or_default(),
            quoted(&setting.summary())
        ));
    }
    script
}
