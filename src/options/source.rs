//! Applies the options of one source: a config file, the environment or the command line.

use super::setting::{Effect, Setting};
use super::values::switch;
use crate::config::Config;

/// Options that are applied one after the other.
pub struct Source<'a> {
    config: &'a mut Config,
    /// The names of those applied so far.
    given: Vec<&'static str>,
}

impl<'a> Source<'a> {
    /// A source that has not set anything yet. It takes precedence over the sources applied before.
    pub fn new(config: &'a mut Config) -> Self {
        Self {
            config,
            given: Vec::new(),
        }
    }

    /// Whether this source has already given the option.
    pub fn has(&self, setting: &Setting) -> bool {
        self.given.contains(&setting.name)
    }

    /// Applies an option. The first value of a list replaces those of the sources before. An option that is none of the
    /// configuration (`--config`) changes nothing.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub fn set(&mut self, setting: &'static Setting, text: &str) -> Result<(), String> {
        match setting.effect {
            Effect::Switch(set) => set(self.config, switch(text)?),
            Effect::Value(set) => set(self.config, text)?,
            Effect::List(clear, add) => {
                if !self.has(setting) {
                    clear(self.config);
                }
                add(self.config, text)?;
            }
            Effect::ConfigFile | Effect::Print => {}
        }
        if !self.has(setting) {
            self.given.push(setting.name);
        }
        Ok(())
    }
}
