//! The XML of the query protocol: elements with children or a text, and no attributes that matter.

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub text: String,
    pub children: Vec<Node>,
}

impl Node {
    pub fn leaf(name: &str, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), children: Vec::new() }
    }

    pub fn of(name: &str, children: Vec<Self>) -> Self {
        Self { name: name.into(), text: String::new(), children }
    }

    /// Reads a document.
    pub fn parse(text: &str) -> Self {
        let start = text.find("<?").and_then(|_| text.find("?>")).map_or(0, |at| at + 2);
        element(&mut &text[start..])
    }

    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The element at the end of a path of names.
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |node, name| node.child(name))
    }

    /// The text at the end of a path.
    pub fn text(&self, path: &str) -> &str {
        self.at(path).map_or("", |node| &node.text)
    }

    /// Puts an element in the place of the one of the same name, or adds it.
    pub fn put(&mut self, node: Self) {
        match self.children.iter_mut().find(|child| child.name == node.name) {
            Some(child) => *child = node,
            None => self.children.push(node),
        }
    }

    pub fn set(&mut self, name: &str, text: impl Into<String>) {
        self.put(Self::leaf(name, text));
    }

    pub fn remove(&mut self, name: &str) {
        self.children.retain(|child| child.name != name);
    }

    /// The texts of a list, such as `ReadReplicaDBInstanceIdentifiers`.
    pub fn list(&self, name: &str) -> Vec<String> {
        let found = self.child(name).map(|list| list.children.iter().map(|item| item.text.clone()).collect());
        found.unwrap_or_default()
    }

    /// Sets a list of texts, each in an element of the list's name without its `s`.
    pub fn set_list(&mut self, name: &str, texts: &[String]) {
        let item = name.trim_end_matches('s');
        self.put(Self::of(name, texts.iter().map(|text| Self::leaf(item, text)).collect()));
    }

    pub fn write(&self) -> String {
        let inner: String = if self.children.is_empty() {
            self.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        } else {
            self.children.iter().map(Self::write).collect()
        };
        format!("<{0}>{inner}</{0}>", self.name)
    }
}

/// Reads one element off the beginning.
fn element(rest: &mut &str) -> Node {
    let end = rest.find('>').expect("an element has an end");
    let head = rest.trim_start().trim_start_matches('<');
    let head = &head[..head.find('>').unwrap()];
    let name = head.split([' ', '/']).next().unwrap().to_owned();
    *rest = &rest[end + 1..];
    let mut node = Node { name, ..Node::default() };
    if head.ends_with('/') {
        return node;
    }
    loop {
        let next = rest.find('<').expect("an element is closed");
        let text = &rest[..next];
        *rest = &rest[next..];
        if rest.starts_with("</") {
            if node.children.is_empty() {
                node.text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            }
            *rest = &rest[rest.find('>').unwrap() + 1..];
            return node;
        }
        node.children.push(element(rest));
    }
}

#[test]
fn it_is_read_as_it_was_written() {
    let text = "<A><B>x &amp; y</B><C><D>1</D><D>2</D></C><E></E></A>";
    let node = Node::parse(&format!("<?xml version=\"1.0\"?>\n{}", text.replace("<E></E>", "<E/>")));
    assert_eq!((node.write().as_str(), node.text("B"), node.list("C")), (text, "x & y", vec!["1".into(), "2".into()]));
}
