//! YAML that remembers where each value stood.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_yaml::Spanned;

use super::Problem;

/// One value and its line.
#[derive(Debug, Clone)]
pub struct Tree {
    line: u64,
    node: Node,
}

#[derive(Debug, Clone)]
enum Node {
    Scalar(Value),
    List(Vec<Tree>),
    /// Key, line of the key, value.
    Map(Vec<(String, u64, Tree)>),
}

/// The documents of a file.
///
/// # Errors
/// The first place where it is not YAML.
pub fn documents(text: &str) -> Result<Vec<Tree>, Problem> {
    let parsed: Result<Vec<Spanned<Node>>, _> = serde_yaml::from_multiple(text);
    match parsed {
        Ok(documents) => Ok(documents.into_iter().map(Tree::from).collect()),
        Err(err) => {
            let line = err.location().map_or(0, |location| location.line());
            let text = err.without_snippet().to_string();
            Err(Problem {
                line,
                field: String::new(),
                reason: text.lines().next().unwrap_or_default().to_owned(),
            })
        }
    }
}

impl From<Spanned<Node>> for Tree {
    fn from(spanned: Spanned<Node>) -> Self {
        Self {
            line: spanned.referenced.line(),
            node: spanned.value,
        }
    }
}

impl Tree {
    pub fn is_null(&self) -> bool {
        matches!(self.node, Node::Scalar(Value::Null))
    }

    pub fn to_json(&self) -> Value {
        match &self.node {
            Node::Scalar(value) => value.clone(),
            Node::List(items) => items.iter().map(Self::to_json).collect(),
            Node::Map(entries) => entries
                .iter()
                .map(|(key, _, value)| (key.clone(), value.to_json()))
                .collect(),
        }
    }

    /// A problem with the field at this path, `spec.channels[0].name`, told with the line of the
    /// field or, if it is not there, of what should hold it.
    pub fn problem(&self, path: &str, reason: String) -> Problem {
        Problem {
            line: self.line_of(path),
            field: path.to_owned(),
            reason,
        }
    }

    fn line_of(&self, path: &str) -> u64 {
        let mut line = self.line;
        let mut tree = self;
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let next = match &tree.node {
                Node::Map(entries) => {
                    let mut entries = entries.iter();
                    entries
                        .find(|(key, ..)| key == step)
                        .map(|(_, line, value)| (*line, value))
                }
                Node::List(items) => {
                    let index: Option<usize> = step.trim_end_matches(']').parse().ok();
                    index
                        .and_then(|index| items.get(index))
                        .map(|item| (item.line, item))
                }
                Node::Scalar(_) => None,
            };
            let Some((found, value)) = next else {
                break;
            };
            (line, tree) = (found, value);
        }
        line
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Node>>()? {
            items.push(item.into());
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let line = key.referenced.line();
            let value = access.next_value::<Spanned<Node>>()?;
            entries.push((key.value, line, value.into()));
        }
        Ok(Node::Map(entries))
    }
}
