//! How things look: with colours or without, with the signs of Unicode or of ASCII. Meaning is never in a colour alone,
//! and only colours are used that can be read on light and on dark terminals.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

/// What a piece of text is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Like all text.
    Plain,
    /// Beside the point.
    Quiet,
    /// To the point.
    Strong,
    /// As wanted.
    Good,
    /// Not as wanted.
    Bad,
    /// Wants a look.
    Warn,
    /// Under way.
    Busy,
    /// A word on a ground of its own: as wanted.
    GoodBadge,
    /// A word on a ground of its own: not as wanted, or production.
    BadBadge,
    /// A word on a ground of its own: wants a person.
    WarnBadge,
    /// A word on a ground of its own: under way, or a rehearsal.
    BusyBadge,
    /// The chosen line.
    Chosen,
}

/// Signs.
#[derive(Debug)]
pub struct Glyphs {
    /// A step that is done.
    pub done: &'static str,
    /// A step under way.
    pub now: &'static str,
    /// A step that is still to come.
    pub pending: &'static str,
    /// A step that failed.
    pub failed: &'static str,
    /// A step that was left out.
    pub skipped: &'static str,
    /// A step that was taken back.
    pub undone: &'static str,
    /// The commit point.
    pub commit: &'static str,
    /// A rule.
    pub rule: &'static str,
    /// A rule that must not be overlooked.
    pub heavy: &'static str,
    /// The part of a bar that is filled.
    pub full: &'static str,
    /// The part of a bar that is not.
    pub empty: &'static str,
    /// Between two things.
    pub dot: &'static str,
    /// Something is cut off here.
    pub cut: &'static str,
    /// Towards.
    pub to: &'static str,
    /// About.
    pub about: &'static str,
    /// From the lowest to the highest reading.
    pub spark: [&'static str; 8],
    /// The track before the points.
    pub track: &'static str,
    /// The points to the upper side: upper, middle and lower line.
    pub points_up: [&'static str; 3],
    /// The points to the lower side.
    pub points_down: [&'static str; 3],
    /// The track is closed.
    pub points_closed: [&'static str; 3],
}

const UNICODE: Glyphs = Glyphs {
    done: "✓",
    now: "▶",
    pending: "·",
    failed: "✗",
    skipped: "»",
    undone: "↶",
    commit: "┃",
    rule: "─",
    heavy: "━",
    full: "█",
    empty: "░",
    dot: "·",
    cut: "…",
    to: "→",
    about: "≈",
    spark: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    track: "━━━",
    points_up: ["╭━━▶", "╯   ", " ┄┄┄"],
    points_down: [" ┄┄┄", "╮   ", "╰━━▶"],
    points_closed: [" ┄┄┄", "┃   ", " ┄┄┄"],
};

const ASCII: Glyphs = Glyphs {
    done: "+",
    now: ">",
    pending: ".",
    failed: "x",
    skipped: "-",
    undone: "<",
    commit: "|",
    rule: "-",
    heavy: "=",
    full: "#",
    empty: ".",
    dot: "|",
    cut: "~",
    to: "->",
    about: "~",
    spark: ["_", ".", "-", "~", "=", "+", "*", "#"],
    track: "===",
    points_up: ["/==>", "'   ", " ---"],
    points_down: [" ---", ".   ", "\\==>"],
    points_closed: [" ---", "|   ", " ---"],
};

const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

const ASCII_HEAVY: border::Set<'static> = border::Set {
    top_left: "#",
    top_right: "#",
    bottom_left: "#",
    bottom_right: "#",
    vertical_left: "#",
    vertical_right: "#",
    horizontal_top: "=",
    horizontal_bottom: "=",
};

/// How things look.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    colour: bool,
    unicode: bool,
}

impl Theme {
    /// With or without colours, with the signs of Unicode or of ASCII.
    #[must_use]
    pub const fn new(colour: bool, unicode: bool) -> Self {
        Self { colour, unicode }
    }

    /// What the environment says: `NO_COLOR`, and a locale that has the signs.
    #[must_use]
    pub fn from_env() -> Self {
        let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value).unwrap_or_default().to_lowercase();
        Self { colour: value("NO_COLOR").is_none(), unicode: locale.contains("utf-8") || locale.contains("utf8") }
    }

    /// The signs.
    #[must_use]
    pub const fn glyphs(self) -> &'static Glyphs {
        if self.unicode { &UNICODE } else { &ASCII }
    }

    /// The border of production, or of anything else.
    #[must_use]
    pub const fn border(self, production: bool) -> border::Set<'static> {
        match (self.unicode, production) {
            (true, true) => border::DOUBLE,
            (true, false) => border::ROUNDED,
            (false, true) => ASCII_HEAVY,
            (false, false) => ASCII_BORDER,
        }
    }

    /// How a piece of text is drawn.
    #[must_use]
    pub fn style(self, tone: Tone) -> Style {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        if !self.colour {
            return match tone {
                Tone::Plain | Tone::Good | Tone::Busy => plain,
                Tone::Quiet => plain.add_modifier(Modifier::DIM),
                Tone::Strong | Tone::Bad | Tone::Warn => bold,
                Tone::Chosen => plain.add_modifier(Modifier::REVERSED),
                _ => bold.add_modifier(Modifier::REVERSED),
            };
        }
        match tone {
            Tone::Plain => plain,
            Tone::Quiet => plain.add_modifier(Modifier::DIM),
            Tone::Strong => bold,
            Tone::Good => plain.fg(Color::Green),
            Tone::Bad => bold.fg(Color::Red),
            Tone::Warn => bold.fg(Color::Magenta),
            Tone::Busy => bold.fg(Color::Blue),
            Tone::GoodBadge => bold.fg(Color::Black).bg(Color::Green),
            Tone::BadBadge => bold.fg(Color::White).bg(Color::Red),
            Tone::WarnBadge => bold.fg(Color::Black).bg(Color::Yellow),
            Tone::BusyBadge => bold.fg(Color::White).bg(Color::Blue),
            Tone::Chosen => plain.add_modifier(Modifier::REVERSED),
        }
    }
}
