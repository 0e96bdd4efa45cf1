//! What templates can call: `money`, `number`, `date`, `relative`, `plural`, `t`, `localized`.
//!
//! Language, zone and time are read from the context's root (`locale`, `time_zone`, `now`).

use std::collections::BTreeMap;
use std::sync::Arc;

use handlebars::{
    BlockContext, Context, Handlebars, HelperResult, Output, RenderErrorReason, Renderable,
};
use icu_locale_core::Locale;
use icu_plurals::{PluralCategory, PluralRules};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::numbers::{date, money, number, relative, when};
use crate::text::{Engine, Helper, HelperDef, RenderContext, RenderError, ScopedJson};

/// Words by locale and key, each a text with `{{name}}` places.
pub(super) type Words = BTreeMap<String, BTreeMap<String, String>>;

/// Gives an engine every helper.
pub(super) fn add_all(engine: &mut Engine, words: &Arc<Words>, default_locale: &str) {
    engine.add_helper("money", Word(money_word));
    engine.add_helper("number", Word(number_word));
    engine.add_helper("date", Word(date_word));
    engine.add_helper("relative", Word(relative_word));
    engine.add_helper("plural", Word(plural_word));
    engine.add_helper("t", Translated { words: Arc::clone(words) });
    engine.add_entry_block("localized", Localized { default_locale: default_locale.to_owned() });
}

/// What a helper reads of its surroundings.
struct Root<'a>(&'a Value);

impl Root<'_> {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn locale(&self) -> &str {
        self.text("locale")
    }

    fn zone(&self) -> TimeZone {
        TimeZone::get(self.text("time_zone")).unwrap_or(TimeZone::UTC)
    }
}

/// A helper that makes one text of its parameters; the engine escapes it like any variable.
struct Word(fn(&Helper<'_>, &Root<'_>) -> Result<String, RenderError>);

impl HelperDef for Word {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let text = (self.0)(helper, &Root(context.data()))?;
        Ok(ScopedJson::Derived(Value::String(text)))
    }
}

fn money_word(helper: &Helper<'_>, root: &Root<'_>) -> Result<String, RenderError> {
    let amount = param(helper, 0, "an amount")?;
    let currency = param(helper, 1, "a currency")?.as_str().unwrap_or_default();
    money(amount, currency, root.locale())
        .ok_or_else(|| fault(helper, "expects an amount such as 1250 or \"12.50\", with no more digits than the currency has"))
}

fn number_word(helper: &Helper<'_>, root: &Root<'_>) -> Result<String, RenderError> {
    number(param(helper, 0, "a number")?, root.locale())
        .ok_or_else(|| fault(helper, "expects a number"))
}

fn date_word(helper: &Helper<'_>, root: &Root<'_>) -> Result<String, RenderError> {
    let text = param(helper, 0, "a date")?.as_str().unwrap_or_default();
    let form = helper.param(1).and_then(|form| form.value().as_str()).unwrap_or("short");
    let when = when(text, &root.zone())
        .ok_or_else(|| fault(helper, "expects a date such as 2026-12-24, or a moment"))?;
    date(&when, form, root.locale())
        .ok_or_else(|| fault(helper, "knows the forms short, long, weekday and time"))
}

fn relative_word(helper: &Helper<'_>, root: &Root<'_>) -> Result<String, RenderError> {
    let text = param(helper, 0, "a date")?.as_str().unwrap_or_default();
    let zone = root.zone();
    let when = when(text, &zone).ok_or_else(|| fault(helper, "expects a date or a moment"))?;
    let now: Timestamp =
        root.text("now").parse().map_err(|_| fault(helper, "is not told the time"))?;
    Ok(relative(&when, now.to_zoned(zone).datetime(), root.locale()))
}

fn plural_word(helper: &Helper<'_>, root: &Root<'_>) -> Result<String, RenderError> {
    let count = param(helper, 0, "a count")?;
    let count = count.as_u64().ok_or_else(|| fault(helper, "expects a count"))?;
    let locale: Locale = root.locale().parse().unwrap_or(Locale::UNKNOWN);
    let category = PluralRules::try_new((&locale).into(), Default::default())
        .map_or(PluralCategory::Other, |rules| rules.category_for(count));
    let key = match category {
        PluralCategory::Zero => "zero",
        PluralCategory::One => "one",
        PluralCategory::Two => "two",
        PluralCategory::Few => "few",
        PluralCategory::Many => "many",
        PluralCategory::Other => "other",
    };
    let word = helper.hash_get(key).or_else(|| helper.hash_get("other"));
    let word = word.and_then(|word| word.value().as_str());
    Ok(word.ok_or_else(|| fault(helper, "needs at least other=\"…\""))?.to_owned())
}

/// `{{t "key" name=value}}`: a word of the locale's own file; with `of=code` the one of that code.
struct Translated {
    words: Arc<Words>,
}

impl HelperDef for Translated {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let key = param(helper, 0, "a key")?.as_str().unwrap_or_default();
        let locale = Root(context.data()).locale().to_owned();
        // A code that has no word of its own is printed as it is, by the word of the key alone.
        let of = helper.hash_get("of").filter(|of| !of.is_value_missing());
        let exact = of.map(|of| format!("{key}_{}", as_text(of.value())));
        let exact = exact.and_then(|exact| find_word(&self.words, &locale, &exact));
        let word = exact.or_else(|| find_word(&self.words, &locale, key));
        let word = word.ok_or_else(|| fault(helper, &format!("knows no word `{key}`")))?;
        let mut text = String::with_capacity(word.len());
        let mut rest = word;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else { break };
            let value = helper.hash_get(name.trim()).filter(|value| !value.is_value_missing());
            let value = value.ok_or_else(|| missing(&format!("{} of word {key}", name.trim())))?;
            text.push_str(before);
            text.push_str(&as_text(value.value()));
            rest = after;
        }
        text.push_str(rest);
        Ok(ScopedJson::Derived(Value::String(text)))
    }
}

/// A word in the locale, its language, or any language that has it.
fn find_word<'a>(words: &'a Words, locale: &str, key: &str) -> Option<&'a str> {
    let language = locale.split('-').next().unwrap_or_default();
    let own = [locale, language].into_iter().filter_map(|name| words.get(name));
    own.chain(words.values()).find_map(|words| words.get(key)).map(String::as_str)
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `{{#localized object}}…{{/localized}}`: the object's entry for the recipient's language.
struct Localized {
    default_locale: String,
}

impl HelperDef for Localized {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        rendering: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let texts = param(helper, 0, "texts by language")?.as_object();
        let texts = texts.ok_or_else(|| fault(helper, "expects an object by language"))?;
        let root = Root(context.data());
        let locale = root.locale();
        let language = locale.split('-').next().unwrap_or_default();
        let wanted = [locale, language, self.default_locale.as_str()];
        let found = wanted.into_iter().find_map(|name| texts.get(name));
        let found = found.or_else(|| texts.values().next());
        let found = found.ok_or_else(|| missing("a text in any language"))?.clone();
        let Some(template) = helper.template() else { return Ok(()) };
        let mut block = BlockContext::new();
        block.set_base_value(found);
        rendering.push_block(block);
        let result = template.render(registry, context, rendering, out);
        rendering.pop_block();
        result
    }
}

fn param<'h>(helper: &'h Helper<'_>, index: usize, what: &str) -> Result<&'h Value, RenderError> {
    let Some(param) = helper.param(index) else {
        return Err(fault(helper, &format!("needs {what}")));
    };
    if param.is_value_missing() || param.value().is_null() {
        return Err(missing(param.relative_path().map_or(what, String::as_str)));
    }
    Ok(param.value())
}

fn fault(helper: &Helper<'_>, what: &str) -> RenderError {
    RenderErrorReason::Other(format!("helper `{}` {what}", helper.name())).into()
}

fn missing(path: &str) -> RenderError {
    RenderErrorReason::MissingVariable(Some(path.to_owned())).into()
}
