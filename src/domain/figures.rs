//! The figures of `business_metrics`: what a back end has posted and, in the demo, what is simulated until then.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use super::random::Random;
use crate::config::{POSTED_FIGURES_BYTES_MAX, POSTED_FIGURES_MAX};

/// Figures that have places of their own: whatever else is kept, they fit.
const RESERVED: [&str; 2] = ["revenue", "orders"];
/// Figures that are not a back end's to set.
const OURS: [&str; 3] = ["active_users", "simulated", "time"];

/// The figures that would be kept are more, or larger, than [`POSTED_FIGURES_MAX`] and [`POSTED_FIGURES_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// All figures but the number of users.
#[derive(Debug)]
pub struct Figures {
    /// The simulated ones; `None` outside the demo.
    walk: Option<Walk>,
    posted: Map<String, Value>,
    /// What it will be when what was posted is stored, once for each post, the last at the end.
    under_way: VecDeque<Map<String, Value>>,
}

impl Figures {
    /// No figures, or simulated ones.
    pub fn new(are_simulated: bool) -> Self {
        Self {
            walk: are_simulated.then(Walk::default),
            posted: Map::new(),
            under_way: VecDeque::new(),
        }
    }

    /// What was posted before the start, perhaps to a version that did not keep the same names for itself.
    pub fn load(&mut self, mut posted: Map<String, Value>) {
        for name in OURS {
            posted.remove(name);
        }
        self.posted = posted;
    }

    /// All that is posted.
    pub fn posted(&self) -> &Map<String, Value> {
        &self.posted
    }

    /// Takes posted figures, on top of those posted before; `null` removes one, also one that is not there. They apply with
    /// [`Self::commit`]. Returns all of them.
    ///
    /// # Errors
    /// The limits, also if some of the figures would fit: then nothing is taken.
    pub fn draft(&mut self, figures: Map<String, Value>) -> Result<&Map<String, Value>, TooMany> {
        let mut posted = self.under_way.back().unwrap_or(&self.posted).clone();
        for (name, value) in figures {
            match value {
                Value::Null => _ = posted.remove(&name),
                value if !OURS.contains(&&*name) => _ = posted.insert(name, value),
                _ => {}
            }
        }
        let others = || {
            let is_other = |(name, _): &(&String, &Value)| !RESERVED.contains(&&***name);
            posted.iter().filter(is_other)
        };
        // Quotes, a colon and a comma.
        let bytes = others().map(|(name, value)| name.len() + value.to_string().len() + 4);
        if others().count() > POSTED_FIGURES_MAX || bytes.sum::<usize>() > POSTED_FIGURES_BYTES_MAX
        {
            return Err(TooMany);
        }
        self.under_way.push_back(posted);
        Ok(self.under_way.back().unwrap_or(&self.posted))
    }

    /// The figures drafted first are stored: they apply.
    pub fn commit(&mut self) {
        if let Some(posted) = self.under_way.pop_front() {
            self.posted = posted;
        }
    }

    /// Figures could not be stored, and neither can those that were drafted on top of them.
    pub fn give_up(&mut self) {
        self.under_way.clear();
    }

    /// Moves the simulated figures a step on.
    pub fn step(&mut self, random: &mut Random) {
        if let Some(walk) = &mut self.walk {
            walk.step(random);
        }
    }

    /// The data of an event, with the number of users connected now. `simulated` lists the figures that are not real.
    pub fn data(&self, active_users: usize) -> Map<String, Value> {
        self.data_with(&self.posted, active_users)
    }

    /// The data of the event that tells the figures drafted last.
    pub fn drafted_data(&self, active_users: usize) -> Map<String, Value> {
        let posted = self.under_way.back().unwrap_or(&self.posted);
        self.data_with(posted, active_users)
    }

    fn data_with(&self, posted: &Map<String, Value>, active_users: usize) -> Map<String, Value> {
        let mut data = Map::new();
        data.insert("active_users".into(), active_users.into());
        let mut simulated = Vec::new();
        for (name, value) in self.walk.iter().flat_map(Walk::figures) {
            if !posted.contains_key(name) {
                data.insert(name.into(), value.into());
                simulated.push(name);
            }
        }
        data.extend(posted.clone());
        data.insert("simulated".into(), simulated.into());
        data
    }
}

/// A bounded random walk.
#[derive(Debug)]
struct Walk {
    revenue: u64,
    orders: u64,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            revenue: 1_250_000,
            orders: 89,
        }
    }
}

impl Walk {
    fn figures(&self) -> [(&'static str, u64); 2] {
        let [revenue, orders] = RESERVED;
        [(revenue, self.revenue), (orders, self.orders)]
    }

    fn step(&mut self, random: &mut Random) {
        let number = random.number();
        let step = |value: u64, max_step: u64, most: u64, random: u64| {
            (value + random % (2 * max_step + 1))
                .saturating_sub(max_step)
                .min(most)
        };
        self.revenue = step(self.revenue, 25_000, 9_999_999, number & 0xffff_ffff);
        self.orders = step(self.orders, 6, 999, number >> 32);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    impl Figures {
        /// Figures are posted and stored at once.
        fn post(&mut self, posted: Map<String, Value>) -> Result<(), TooMany> {
            self.draft(posted)?;
            self.commit();
            Ok(())
        }
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("is an object")
    }

    /// Posts, and returns the data of the next event.
    fn post(figures: &mut Figures, posted: Value) -> Value {
        figures.post(object(posted)).expect("fits");
        Value::Object(figures.data(3))
    }

    #[test]
    fn what_a_back_end_posts_replaces_what_is_simulated() {
        let mut figures = Figures::new(true);
        let mut posted = |sent: Value| {
            let data = post(&mut figures, sent);
            ["revenue", "visits", "active_users", "simulated"].map(|name| data[name].clone())
        };
        let first = posted(json!({"revenue": 5, "visits": 2, "active_users": 9}));
        assert_eq!(first, [json!(5), json!(2), json!(3), json!(["orders"])]);
        let second = posted(json!({"orders": 1, "simulated": true}));
        assert_eq!(second, [json!(5), json!(2), json!(3), json!([])]);
    }

    #[test]
    fn a_name_that_is_not_a_back_ends_is_not_taken_nor_loaded() {
        let mut figures = Figures::new(false);
        let posted = json!({"time": "never", "active_users": 9, "simulated": [], "orders": 5});
        let data = post(&mut figures, posted.clone());
        let expected = json!({"active_users": 3, "orders": 5, "simulated": []});
        assert_eq!(data, expected);
        figures.load(object(posted));
        assert_eq!(post(&mut figures, json!({})), expected);
    }

    #[test]
    fn null_removes_a_figure_and_in_the_demo_one_that_was_simulated_is_so_again() {
        let mut figures = Figures::new(true);
        let begin = post(&mut figures, json!({}));
        post(&mut figures, json!({"revenue": 5, "visits": 2}));
        for _ in 0..2 {
            let removed = json!({"revenue": null, "visits": null, "active_users": null, "x": null});
            assert_eq!(post(&mut figures, removed), begin);
        }
        let within = post(&mut figures, json!({"visits": [null]}));
        assert_eq!(within["visits"], json!([null]), "only the figure itself");
    }

    #[test]
    fn outside_the_demo_nothing_is_simulated() {
        let mut figures = Figures::new(false);
        figures.step(&mut Random::new(&[1; 32]));
        let none = json!({"active_users": 3, "simulated": []});
        assert_eq!(post(&mut figures, json!({})), none);
        let one = json!({"active_users": 3, "orders": 5, "simulated": []});
        assert_eq!(post(&mut figures, json!({"orders": 5})), one);
        assert_eq!(post(&mut figures, json!({"orders": null})), none);
    }

    #[test]
    fn figures_are_limited_in_number_and_two_always_fit() {
        let many = |range: std::ops::Range<usize>| -> Map<String, Value> {
            range.map(|n| (n.to_string(), json!(n))).collect()
        };
        let mut figures = Figures::new(true);
        assert_eq!(figures.post(many(0..POSTED_FIGURES_MAX)), Ok(()));
        assert_eq!(
            figures.post(object(json!({"x": 1, "revenue": 7}))),
            Err(TooMany)
        );
        assert_eq!(
            figures.data(0)["simulated"],
            json!(RESERVED),
            "nothing was taken"
        );
        let always = json!({"revenue": 1, "orders": 2, "active_users": 3, "simulated": 4, "time": 5, "1": 6});
        assert_eq!(figures.post(object(always)), Ok(()));
        assert_eq!(
            figures.data(0).len(),
            POSTED_FIGURES_MAX + RESERVED.len() + ["active_users", "simulated"].len()
        );
        assert_eq!(figures.post(object(json!({"x": 1, "0": null}))), Ok(()));
        assert_eq!(figures.post(object(json!({"0": 1}))), Err(TooMany));
    }

    #[test]
    fn figures_are_limited_in_bytes() {
        let mut figures = Figures::new(false);
        let quarter = "x".repeat(POSTED_FIGURES_BYTES_MAX / 4 - 7);
        let all = json!({"a": quarter, "b": quarter, "c": quarter, "d": quarter});
        assert_eq!(figures.post(object(all)), Ok(()));
        assert_eq!(figures.post(object(json!({"e": 1}))), Err(TooMany));
        assert_eq!(figures.post(object(json!({"orders": quarter}))), Ok(()));
        assert_eq!(figures.post(object(json!({"d": null, "e": 1}))), Ok(()));
    }

    #[test]
    fn simulated_figures_walk_in_bounded_steps_that_a_seed_replays() {
        let (mut walk, mut random) = (Walk::default(), Random::new(&[1; 32]));
        let mut steps = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            let (revenue, orders) = (walk.revenue, walk.orders as i64);
            walk.step(&mut random);
            steps.insert(walk.orders as i64 - orders);
            assert!(revenue.abs_diff(walk.revenue) <= 25_000 && walk.orders <= 999);
        }
        assert!(steps.into_iter().eq(-6..=6));
        assert_eq!((walk.revenue, walk.orders), (1_189_220, 254));
    }
}
