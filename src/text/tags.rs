//! Refuses what could abort or hold up the process while it is compiled: length and deep nesting.
//!
//! Tags are read as the grammar of handlebars reads them, white space included. What that grammar
//! reads in more than one way (raw blocks, lists and objects inside a tag) is refused, so that
//! nothing is nested deeper than it is counted here.

use super::TextFault;

/// The deepest nesting of blocks, `else if` counted as one more, and of brackets in a tag.
const MAX_DEPTH: usize = 32;

/// The longest template, in bytes.
const MAX_SOURCE: usize = 512 << 10;

/// The most tags in a template; the compiler reads all that stands before a tag once more.
const MAX_TAGS: usize = 2_000;

const TOO_DEEP: &str = "blocks, `else if` or brackets are nested deeper than 32";
pub(super) const NO_PARTIAL: &str = "no such partial here; in emails `{{> NAME}}` includes \
    partials/NAME.mjml, elsewhere there are none";

/// Refuses a template that must not be given to the compiler.
pub(super) fn check_tags(source: &str) -> Result<(), TextFault> {
    if source.len() > MAX_SOURCE {
        return Err(TextFault::new(format!("the template is longer than {MAX_SOURCE} bytes")));
    }
    let mut reading = Reading { bytes: source.as_bytes(), at: 0, depth: 0, open: Vec::new() };
    let mut tags = 0;
    while let Some(begin) = reading.next_tag() {
        tags += 1;
        reading.tag().map_err(|message| fault_at(source, begin, message))?;
        if tags > MAX_TAGS {
            return Err(TextFault::new(format!("the template has more than {MAX_TAGS} tags")));
        }
    }
    Ok(())
}

fn fault_at(source: &str, at: usize, message: &str) -> TextFault {
    let before = source.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
    TextFault::at(line, column, message)
}

struct Reading<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    /// The depth before each block that is open.
    open: Vec<usize>,
}

impl Reading<'_> {
    /// Goes behind the `{{` of the next tag, and says where it began.
    fn next_tag(&mut self) -> Option<usize> {
        loop {
            let text = self.rest();
            let length = text.windows(2).position(|pair| pair == b"{{")?;
            let backslashes =
                text.iter().take(length).rev().take_while(|byte| **byte == b'\\').count();
            let begin = self.at + length;
            self.at = begin + 2;
            // One backslash makes the tag text; two or more stand for themselves.
            if backslashes != 1 || self.rest().starts_with(b"{{") {
                return Some(begin);
            }
        }
    }

    /// Reads one tag from behind its `{{`.
    fn tag(&mut self) -> Result<(), &'static str> {
        if self.rest().starts_with(b"!") {
            return self.comment();
        }
        if self.rest().starts_with(b"{{") {
            return Err("raw blocks are not supported; write \\{{ for a {{ that is text");
        }
        self.skip_margin();
        if self.takes(b"{") {
            self.skip_margin();
        } else if self.takes(b"#") {
            self.skip_margin();
            self.open.push(self.depth);
            self.go_deeper()?;
        } else if self.takes(b"/") {
            self.depth = self.open.pop().unwrap_or(0);
        } else if self.takes(b"else") || self.takes(b"^") {
            self.skip_margin();
            // With a condition it is a block inside the other's `else`.
            if !self.rest().starts_with(b"}}") {
                self.go_deeper()?;
            }
        }
        if self.takes(b">") || self.takes(b"*") {
            return Err(NO_PARTIAL);
        }
        self.rest_of_tag()
    }

    fn go_deeper(&mut self) -> Result<(), &'static str> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(TOO_DEEP) } else { Ok(()) }
    }

    /// Goes behind the `}}`, or to the end if there is none, which the compiler tells.
    fn rest_of_tag(&mut self) -> Result<(), &'static str> {
        let mut brackets = 0_usize;
        while let Some(byte) = self.take() {
            match byte {
                b'}' if self.takes(b"}") => return Ok(()),
                b'"' | b'\'' => self.string(byte),
                b'(' => brackets += 1,
                b')' => brackets = brackets.saturating_sub(1),
                b'[' => self.name_in_brackets()?,
                b'{' => return Err("a tag is not closed, or an object stands in it"),
                _ => {}
            }
            if brackets > MAX_DEPTH {
                return Err(TOO_DEEP);
            }
        }
        Ok(())
    }

    fn string(&mut self, quote: u8) {
        while let Some(byte) = self.take() {
            match byte {
                b'\\' => self.at += 1,
                byte if byte == quote => return,
                _ => {}
            }
        }
    }

    fn name_in_brackets(&mut self) -> Result<(), &'static str> {
        while let Some(byte) = self.take() {
            match byte {
                b']' => return Ok(()),
                b'"' | b'\'' | b'[' | b'{' => return Err("a list cannot stand in a tag"),
                _ => {}
            }
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<(), &'static str> {
        self.at += 1;
        self.skip_blanks();
        let end: &[u8] = if self.takes(b"--") { b"--}}" } else { b"}}" };
        let length = self.rest().windows(end.len()).position(|bytes| bytes == end);
        self.at += length.ok_or("a comment is not closed")? + end.len();
        Ok(())
    }

    /// Skips white space and the `~` that takes away what is beside a tag.
    fn skip_margin(&mut self) {
        self.skip_blanks();
        if self.takes(b"~") {
            self.skip_blanks();
        }
    }

    fn skip_blanks(&mut self) {
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.rest().iter().take_while(is_blank).count();
    }

    fn takes(&mut self, bytes: &[u8]) -> bool {
        let is_there = self.rest().starts_with(bytes);
        self.at += if is_there { bytes.len() } else { 0 };
        is_there
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use handlebars::Template;
    use handlebars::template::TemplateElement;

    use super::*;

    /// Spellings of the beginning of a block.
    const BEGINS: [&str; 8] = [
        "{{#if a}}",
        "{{ #if a}}",
        "{{~# if a~}}",
        "{{\n\t~ #\nif (not\na) }}",
        "{{# if \"}}{{/if}}\" }}",
        "{{#if a}}{{else if '}}{{/if}}'}}",
        "{{#if a}}{{ ^ if b}}",
        "{{#if a.[b}}{{/if}}]}}",
    ];
    const ENDS: [&str; 3] = ["{{/if}}", "{{ / if }}", "{{~/if~}}"];
    /// What stands between, and may look like an end that it is not.
    const BETWEEN: [&str; 12] = [
        "",
        "x",
        "{{!-- {{/if}} --}}",
        "{{! -- }} {{/if}} --}}",
        "{{! {{/if}}",
        "\\{{/if}}",
        "\\\\{{a}}",
        "{{{a}}}",
        "{{~{a}~}}",
        "{{else}}",
        "{{a \"{{/if}}\"}}",
        "{{&a}}",
    ];

    fn depth(template: &Template) -> usize {
        let inner = template.elements.iter().map(|element| match element {
            TemplateElement::HelperBlock(block) => {
                let branches = [&block.template, &block.inverse].into_iter().flatten();
                1 + branches.map(depth).max().unwrap_or(0)
            }
            _ => 0,
        });
        inner.max().unwrap_or(0)
    }

    #[test]
    fn no_spelling_nests_deeper_than_it_is_counted() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut deepest = 0;

        for _ in 0..3_000 {
            let levels = random.usize(1..40);
            let mut source = String::new();
            for _ in 0..levels {
                source += BEGINS[random.usize(..BEGINS.len())];
                source += BETWEEN[random.usize(..BETWEEN.len())];
            }
            for _ in 0..levels {
                source += BETWEEN[random.usize(..BETWEEN.len())];
                source += ENDS[random.usize(..ENDS.len())];
            }
            if check_tags(&source).is_ok()
                && let Ok(template) = Template::compile(&source)
            {
                assert!(depth(&template) <= MAX_DEPTH, "{source}");
                deepest = deepest.max(depth(&template));
            }
        }

        assert!(deepest > MAX_DEPTH / 2, "hardly one of them was compiled: {deepest}");
    }

    #[test]
    fn usual_templates_pass() {
        let many = "{{#if a}}x{{else if b}}y{{else}}z{{/if}}".repeat(100);
        for source in [
            "{{#each lines}}{{name}} {{money price \"VND\"}}{{#unless @last}}, {{/unless}}{{/each}}",
            "{{!-- not {{/if}} --}}{{! nor this }}\\{{this}} {{{a.[0]}}} {{~#if (or a (not b))~}}{{/if}}",
            "@media x{a{b:c}}",
            many.as_str(),
        ] {
            assert_eq!(check_tags(source), Ok(()), "{source}");
        }
    }

    #[test]
    fn a_fault_tells_its_place() {
        let fault = check_tags("ä\n xx {{#if a}}{{> b}}").unwrap_err();

        assert_eq!((fault.line, fault.column), (Some(2), Some(14)));
    }
}
