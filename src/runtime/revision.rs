//! A version of what replicas run, beside what the configuration says of all of them.

/// What a revision says in place of the configuration. The one without a name says nothing: replicas are as
/// configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Revision {
    /// Its name; empty for what the configuration says without one.
    pub name: String,
    /// Program and arguments; `None` for those of the configuration.
    pub command: Option<Vec<String>>,
    /// Name or id of the image; `None` for that of the configuration.
    pub image: Option<String>,
    /// Variables, as `KEY=VALUE`, beside those of the configuration. They win over those.
    pub env: Vec<String>,
}

impl Revision {
    /// What replicas run before the first deploy, where no revision is configured for that.
    pub const BASE: &'static str = "base";

    /// Whether it is known by its name alone: what it said is in no configuration any more.
    pub fn is_forgotten(&self) -> bool {
        !self.name.is_empty() && *self == Self { name: self.name.clone(), ..Self::default() }
    }

    /// The name for people: that of the one without a name is [`Revision::BASE`].
    pub fn shown(&self) -> &str {
        Self::shown_name(&self.name)
    }

    /// The same for a name alone, as labels have it.
    pub fn shown_name(name: &str) -> &str {
        if name.is_empty() { Self::BASE } else { name }
    }
}
