//! Reads Rust source as far as the rules of the house need it: words, without comments.

use std::collections::BTreeSet;

/// One word, number, literal or sign of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The line it stands in, from 1.
    pub(crate) line: usize,
    /// The text itself; a string literal keeps its quotes, a character literal is `'`.
    pub(crate) text: String,
}

/// A source file, cut into what ships and what is compiled for tests only.
#[derive(Debug)]
pub(crate) struct Source {
    /// All that is compiled into the product.
    pub(crate) shipped: Vec<Token>,
    /// All that stands under `#[cfg(test)]`.
    pub(crate) tests: Vec<Token>,
    /// Lines that do not belong to an item under `#[cfg(test)]`.
    pub(crate) shipped_lines: usize,
    /// All lines.
    pub(crate) lines: usize,
}

/// A `mod name;` with the path that it may be given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Declaration {
    /// The module's name.
    pub(crate) name: String,
    /// What `#[path = "…"]` says, if it is there.
    pub(crate) path: Option<String>,
}

impl Source {
    /// Reads `text`.
    pub(crate) fn parse(text: &str) -> Self {
        let tokens = tokens(text);
        let lines = text.lines().count();
        let (mut shipped, mut tests, mut test_lines) = (Vec::new(), Vec::new(), 0);
        let mut rest = tokens.as_slice();
        while let Some(first) = rest.first() {
            let length = test_item(rest);
            let (item, after) = rest.split_at(length.max(1));
            if length == 0 {
                shipped.push(first.clone());
            } else {
                tests.extend_from_slice(item);
                test_lines += item.last().map_or(0, |last| last.line - first.line + 1);
            }
            rest = after;
        }
        Self { shipped, tests, shipped_lines: lines - test_lines, lines }
    }
}

/// The modules that `tokens` declare to stand in files of their own.
pub(crate) fn declarations(tokens: &[Token]) -> Vec<Declaration> {
    let texts: Vec<_> = tokens.iter().map(|token| token.text.as_str()).collect();
    let mut found = Vec::new();
    for (at, window) in texts.windows(3).enumerate() {
        if let ["mod", name, ";"] = window {
            let before = texts.get(..at).unwrap_or_default();
            let before = before.strip_suffix(&["pub"]).unwrap_or(before);
            let path = match before {
                [.., "#", "[", "path", "=", path, "]"] => Some(path.trim_matches('"').to_owned()),
                _ => None,
            };
            found.push(Declaration { name: (*name).to_owned(), path });
        }
    }
    found
}

/// The modules at the top of the crate that `tokens` name, with the lines where they do.
///
/// `depth` is how many modules deep the file is (`src/plan.rs` is one), so that `super` can be
/// followed up to the crate.
pub(crate) fn modules_used(tokens: &[Token], depth: usize) -> BTreeSet<(usize, String)> {
    let mut found = BTreeSet::new();
    let mut rest = tokens;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let steps = match first.text.as_str() {
            "crate" => depth,
            "super" => 1,
            _ => continue,
        };
        let (steps, path) = climb(after, steps);
        rest = path;
        if steps >= depth {
            found.extend(heads(path).map(|head| (head.line, head.text.clone())));
        }
    }
    found
}

/// Follows `::super` as long as it goes, and what is left after the last `::`.
fn climb(after: &[Token], mut steps: usize) -> (usize, &[Token]) {
    let mut rest = after;
    while let [sign, next, ..] = rest
        && sign.text == "::"
    {
        rest = rest.get(1..).unwrap_or_default();
        if next.text != "super" {
            return (steps, rest);
        }
        steps += 1;
        rest = rest.get(1..).unwrap_or_default();
    }
    (0, rest)
}

/// The first words of a path or of each branch of a `{…}` group.
fn heads(path: &[Token]) -> impl Iterator<Item = &Token> {
    let is_group = path.first().is_some_and(|token| token.text == "{");
    let mut depth = 0;
    let mut is_head = true;
    let mut is_over = false;
    path.iter().filter(move |token| {
        let was_head = is_head && !is_over;
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => is_head = true,
            _ => is_head = false,
        }
        is_over |= depth == 0;
        was_head && (depth == 1 || !is_group) && is_word(&token.text)
    })
}

/// The macros that write log lines, and those that begin spans.
const LOG_LINES: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
const SPANS: [&str; 5] = ["error_span", "warn_span", "info_span", "debug_span", "trace_span"];

/// The fields of log lines and spans, and the names of spans, with their lines.
pub(crate) fn log_fields(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, window) in tokens.windows(3).enumerate() {
        let [name, sign, open] = window else { continue };
        let is_span = SPANS.contains(&name.text.as_str());
        let is_macro = is_span || LOG_LINES.contains(&name.text.as_str());
        if is_macro && sign.text == "!" && open.text == "(" {
            found.extend(fields_of(tokens.get(at + 3..).unwrap_or_default(), is_span));
        }
    }
    found
}

/// The fields among the arguments of one macro, which end where the text of a log line begins.
fn fields_of(tokens: &[Token], is_span: bool) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for argument in arguments(tokens) {
        let Some(first) = argument.first() else { break };
        if let Some(text) = literal(&first.text) {
            if !is_span {
                break;
            }
            found.push((first.line, text.to_owned()));
        } else if argument.get(1).is_none_or(|sign| sign.text != ":") {
            let words = argument.iter().map(|token| token.text.as_str());
            let words = words.skip_while(|word| matches!(*word, "%" | "?"));
            let name = words.take_while(|word| is_word(word) || *word == ".").collect();
            found.push((first.line, name));
        }
    }
    found
}

/// The tokens up to the bracket that closes, cut at its commas.
fn arguments(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut found, mut begin, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, token) in tokens.iter().enumerate() {
        let ends = match token.text.as_str() {
            "(" | "[" | "{" => {
                depth += 1;
                false
            }
            ")" | "]" | "}" if depth > 0 => {
                depth -= 1;
                false
            }
            ")" => true,
            "," => depth == 0,
            _ => false,
        };
        if ends {
            found.push(tokens.get(begin..at).unwrap_or_default());
            begin = at + 1;
        }
        if ends && token.text == ")" {
            break;
        }
    }
    found
}

/// What stands between the quotes of a string literal.
pub(crate) fn literal(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// Whether `text` is a name or keyword.
pub(crate) fn is_word(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

/// How many tokens the item takes up that starts here, if it is compiled for tests only; else 0.
fn test_item(tokens: &[Token]) -> usize {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let is_marked = tokens.len() >= MARK.len()
        && tokens.iter().zip(MARK).all(|(token, mark)| token.text == mark);
    if !is_marked {
        return 0;
    }
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" => others += 1,
            ")" | "]" => others = others.saturating_sub(1),
            "{" => braces += 1,
            "}" if braces > 1 => braces -= 1,
            "}" => return at + 1,
            ";" if braces == 0 && others == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { letters: text.chars().collect(), at: 0, line: 1 };
    let mut tokens = Vec::new();
    while let Some(letter) = reader.peek(0) {
        let line = reader.line;
        if let Some(text) = reader.token(letter) {
            tokens.push(Token { line, text });
        }
    }
    tokens
}

struct Reader {
    letters: Vec<char>,
    at: usize,
    line: usize,
}

impl Reader {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at + ahead).copied()
    }

    fn take(&mut self) -> Option<char> {
        let letter = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(letter == '\n');
        Some(letter)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while let Some(letter) = self.peek(0).filter(|letter| wanted(*letter)) {
            text.push(letter);
            self.take();
        }
        text
    }

    /// What begins with `letter`; nothing if it is a comment, a lifetime or a blank.
    fn token(&mut self, letter: char) -> Option<String> {
        match (letter, self.peek(1)) {
            ('/', Some('/')) => {
                self.take_while(|letter| letter != '\n');
                None
            }
            ('/', Some('*')) => {
                self.block_comment();
                None
            }
            ('"', _) => Some(self.string()),
            ('\'', _) => self.character_or_lifetime(),
            (':', Some(':')) => {
                self.take();
                self.take();
                Some("::".to_owned())
            }
            _ if letter.is_alphanumeric() || letter == '_' => Some(self.word_or_raw_string()),
            _ => self.take().filter(|letter| !letter.is_whitespace()).map(String::from),
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.take(), self.peek(0)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (Some(_), _) => continue,
                (None, _) => return,
            }
            self.take();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) -> String {
        let mut text = String::from(self.take().unwrap_or('"'));
        while let Some(letter) = self.take() {
            text.push(letter);
            match letter {
                '\\' => text.extend(self.take()),
                '"' => break,
                _ => {}
            }
        }
        text
    }

    fn character_or_lifetime(&mut self) -> Option<String> {
        self.take();
        let is_character = self.peek(0) == Some('\\') || self.peek(1) == Some('\'');
        if !is_character {
            self.take_while(|letter| letter.is_alphanumeric() || letter == '_');
            return None;
        }
        if self.take() == Some('\\') {
            self.take();
        }
        self.take_while(|letter| letter != '\'');
        self.take();
        Some("'".to_owned())
    }

    fn word_or_raw_string(&mut self) -> String {
        let word = self.take_while(|letter| letter.is_alphanumeric() || letter == '_');
        let is_prefix = matches!(word.as_str(), "r" | "br" | "cr");
        let hashes = (0..256).take_while(|ahead| self.peek(*ahead) == Some('#')).count();
        if !is_prefix || self.peek(hashes) != Some('"') {
            return word;
        }
        self.at += hashes + 1;
        let mut text = String::from('"');
        while let Some(letter) = self.take() {
            text.push(letter);
            if letter == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.at += hashes;
                break;
            }
        }
        text
    }
}
