//! What serde asks of a [`Value`]: one small answer each.

use saphyr::Scalar as Yaml;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::{Error, Result, Value, View, noun};
use crate::runbook::tree::{Kind, Node};

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
            self.integer(visitor)
        }
    )*};
}

impl<'a> Deserializer<'a> for Value<'a> {
    type Error = Error;

    integers! { deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_i8 deserialize_i16
    deserialize_i32 deserialize_i64 }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match &self.view {
            View::Node(Node { kind: Kind::Seq(_), .. }) => return self.deserialize_seq(visitor),
            View::Node(Node { kind: Kind::Map(_), .. }) => return self.deserialize_map(visitor),
            _ => {}
        }
        match self.plain() {
            Some(Yaml::Boolean(is)) => visitor.visit_bool(is),
            Some(Yaml::Integer(number)) => visitor.visit_i64(number),
            Some(Yaml::FloatingPoint(number)) => visitor.visit_f64(number.into_inner()),
            _ => match self.scalar() {
                Some((text, _)) => visitor.visit_str(text),
                None => visitor.visit_unit(),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match (&self.view, self.plain()) {
            (View::Poison(_), _) => visitor.visit_bool(false),
            (_, Some(Yaml::Boolean(is))) => visitor.visit_bool(is),
            _ => Err(self.expected("true or false", "write `true` or `false`, without quotes")),
        }
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        match (&self.view, self.plain()) {
            (View::Poison(_), _) => visitor.visit_f64(1.0),
            #[expect(clippy::cast_precision_loss, reason = "limits that people write are far below 2^53")]
            (_, Some(Yaml::Integer(number))) => visitor.visit_f64(number as f64),
            (_, Some(Yaml::FloatingPoint(number))) if number.is_finite() => visitor.visit_f64(number.into_inner()),
            _ => Err(self.expected("a number", "write it without a unit and without quotes")),
        }
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        if let View::Poison(root) = &self.view {
            return visitor.visit_str(self.poison_text(root));
        }
        match self.scalar() {
            Some((text, _)) => visitor.visit_str(text),
            None if matches!(self.view, View::Nothing) => {
                let name = self.name().unwrap_or_default();
                Err(self.wrong("wrong-type", &format!("`{name}` needs a value"), format!("write `{name}: …`")))
            }
            None => Err(self.expected("a text", "write one value here")),
        }
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        if matches!(self.view, View::Poison(_)) || self.is_nothing() {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        let items = match &self.view {
            View::Node(Node { kind: Kind::Seq(items), .. }) => items.as_slice(),
            // `through: pool` says what `through: [pool]` says.
            View::Node(node @ Node { kind: Kind::Scalar(_), .. })
                if self.name().is_some_and(|name| LISTS_OF_NAMES.contains(&name)) =>
            {
                std::slice::from_ref(*node)
            }
            View::Poison(_) => &[],
            _ => return Err(self.not_a_list()),
        };
        let place = |item: &'a Node| if matches!(item.kind, Kind::Map(_)) { item.head() } else { item.place };
        let values = items.iter().enumerate().map(|(n, item)| self.child(n, View::Node(item), place(item)));
        visitor.visit_seq(Items(values.collect::<Vec<_>>().into_iter()))
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        let entries: Vec<_> = self.entries("names with what they stand for")?.iter().map(|e| self.entry(e)).collect();
        visitor.visit_map(Fields { rest: entries.into_iter(), next: None })
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let fields = self.fields(fields)?;
        visitor.visit_map(Fields { rest: fields.into_iter(), next: None })
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let (kind, content) = self.variant(noun(name), variants)?;
        visitor.visit_enum(Variant { kind, content })
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}

impl Value<'_> {
    fn not_a_list(&self) -> Error {
        // What is quoted here may be a password; remedies are masked.
        let remedy = match self.scalar() {
            Some((text, _)) if text.len() < 40 => format!("write `[{text}]`"),
            _ => "write one element a line, each after `- `, or all in `[ ]`".to_owned(),
        };
        self.expected("a list", remedy)
    }
}

/// Lists of names, of which one may stand alone.
pub(in crate::runbook) const LISTS_OF_NAMES: [&str; 3] = ["through", "endpoints", "gates"];

struct Items<'a>(std::vec::IntoIter<Value<'a>>);

impl<'a> de::SeqAccess<'a> for Items<'a> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        self.0.next().map(|value| value.feed(seed)).transpose()
    }
}

struct Fields<'a> {
    rest: std::vec::IntoIter<(&'a str, Value<'a>)>,
    next: Option<Value<'a>>,
}

impl<'a> de::MapAccess<'a> for Fields<'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.next = Some(value);
        let key: de::value::StrDeserializer<'_, Error> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value> {
        match self.next.take() {
            Some(value) => value.feed(seed),
            None => Err(Error::Said("a value was asked for before its key".into())),
        }
    }
}

struct Variant<'a> {
    kind: &'static str,
    content: Value<'a>,
}

impl<'a> de::EnumAccess<'a> for Variant<'a> {
    type Error = Error;
    type Variant = Content<'a>;

    fn variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<(T::Value, Content<'a>)> {
        let kind: de::value::StrDeserializer<'_, Error> = self.kind.into_deserializer();
        Ok((seed.deserialize(kind)?, Content(self.content)))
    }
}

struct Content<'a>(Value<'a>);

impl<'a> de::VariantAccess<'a> for Content<'a> {
    type Error = Error;

    fn unit_variant(self) -> Result<()> {
        if self.0.is_nothing() || matches!(self.0.view, View::Poison(_)) {
            return Ok(());
        }
        let name = self.0.name().unwrap_or_default();
        Err(self.0.wrong("wrong-type", &format!("`{name}` takes no words"), format!("write just `{name}`")))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value> {
        self.0.feed(seed)
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.0.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'a>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.0.deserialize_struct("", fields, visitor)
    }
}
