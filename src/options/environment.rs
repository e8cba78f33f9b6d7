//! The options of the environment: `SARANG_…`.

use std::ffi::OsString;

use super::names::nearest_option;
use super::setting::Setting;
use super::source::Source;
use super::table::OPTIONS;
use crate::config::{Config, Password};

const PREFIX: &str = "SARANG_";
/// The password of the engine, which is no option: everybody on the machine can read arguments.
const PASSWORD: &str = "SARANG_CLUSTER_PASSWORD";

/// The variables that begin with `SARANG_`, as `(name, value)`.
pub struct Environment(Vec<(String, OsString)>);

impl Environment {
    /// Takes those variables; one without a value counts as absent.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let ours = variables.into_iter().filter_map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            (name.starts_with(PREFIX) && !value.is_empty()).then_some((name, value))
        });
        let mut ours: Vec<_> = ours.collect();
        // The order of the environment is nobody's choice.
        ours.sort();
        Self(ours)
    }

    /// The value of an option, if it is set.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn value(&self, setting: &Setting) -> Result<Option<&str>, String> {
        let variable = setting.variable();
        let found = self.0.iter().find(|(name, _)| *name == variable);
        let value = found.map(|(name, value)| {
            let text = value.to_str().map(str::trim);
            text.ok_or_else(|| format!("{name}: the value is not UTF-8"))
        });
        value.transpose()
    }

    /// Applies all options. Values of a list are separated by commas.
    ///
    /// # Errors
    /// A message that names the variable.
    pub fn apply(&self, config: &mut Config) -> Result<(), String> {
        let mut source = Source::new(config);
        for setting in OPTIONS.iter().filter(|setting| setting.is_variable()) {
            let Some(text) = self.value(setting)? else {
                continue;
            };
            let mut set = |text: &str| {
                let result = source.set(setting, text);
                result.map_err(|what| format!("{}: {what}", setting.variable()))
            };
            match setting.is_list() {
                true => text.split(',').try_for_each(|value| set(value.trim()))?,
                false => set(text)?,
            }
        }
        if let Some((_, password)) = self.0.iter().find(|(name, _)| name == PASSWORD) {
            let password = password.to_str();
            let password = password.ok_or_else(|| format!("{PASSWORD}: the value is not UTF-8"))?;
            config.cluster_password = Password(password.into());
        }
        Ok(())
    }

    /// A sentence about each variable that is no option. The values are not told: one may be a secret.
    pub fn warnings(&self) -> Vec<String> {
        let names = self.0.iter().map(|(name, _)| &**name);
        let unknown = names
            .filter(|name| !is_option(name) && *name != PASSWORD && !self.is_of_a_service(name));
        unknown.map(warning).collect()
    }

    /// Whether Kubernetes sets this variable for a service: one called `sarang` has `SARANG_SERVICE_HOST`, `SARANG_PORT`,
    /// `SARANG_PORT_8000_TCP_ADDR`, and one called `sarang-web` the same with `SARANG_WEB`.
    fn is_of_a_service(&self, name: &str) -> bool {
        let hosts = self.0.iter().map(|(name, _)| name);
        let services = hosts.filter_map(|name| name.strip_suffix("_SERVICE_HOST"));
        services.chain(["SARANG"]).any(|service| {
            let rest = name.strip_prefix(service).unwrap_or_default();
            rest == "_PORT" || rest.starts_with("_PORT_") || rest.starts_with("_SERVICE_")
        })
    }
}

fn is_option(name: &str) -> bool {
    let mut variables = OPTIONS.iter().filter(|setting| setting.is_variable());
    variables.any(|setting| setting.variable() == name)
}

fn warning(name: &str) -> String {
    let meant = nearest_option(name.trim_start_matches(PREFIX));
    let hint = meant
        .filter(|setting| setting.is_variable())
        .map(|setting| format!("; did you mean {}?", setting.variable()))
        .unwrap_or_default();
    // Control characters must not reach the terminal.
    let name = name.escape_debug();
    format!("the environment variable {name} is no option and is ignored{hint}")
}
