//! A table's definition in two parts: what is there before rows come, and the keys and foreign keys that are made behind
//! them. `SHOW CREATE TABLE` writes each of them in a line of its own.

use super::ident;

/// A table's definition, in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// The table with its columns, checks, primary key and partitions; and the key of a column that counts up, which can't be
    /// without one.
    pub table: String,
    /// Secondary keys, as `ADD` takes them.
    pub keys: Vec<String>,
    /// Foreign keys, likewise.
    pub foreign: Vec<String>,
}

impl Definition {
    /// Takes apart what `SHOW CREATE TABLE` says.
    #[must_use]
    pub fn read(create: &str) -> Self {
        let lines: Vec<&str> = create.lines().collect();
        let end = lines.iter().position(|line| line.starts_with(')')).unwrap_or(lines.len());
        let (mut found, mut kept) = (Self::default(), Vec::new());
        let inside = || lines.get(1..end).into_iter().flatten().map(|line| line.trim().trim_end_matches(','));
        let counting = inside().find(|line| line.starts_with('`') && line.contains(" AUTO_INCREMENT")).and_then(name);
        for line in inside() {
            match kind(line) {
                Part::Foreign => found.foreign.push(line.to_owned()),
                Part::Key if !counting.as_ref().is_some_and(|column| begins_with(line, column)) => {
                    found.keys.push(line.to_owned());
                }
                _ => kept.push(format!("  {line}")),
            }
        }
        let head = lines.first().copied().unwrap_or_default();
        let tail = lines.get(end..).map(|lines| lines.join("\n")).unwrap_or_default();
        found.table = format!("{head}\n{}\n{tail}", kept.join(",\n"));
        found
    }

    /// The same table, made only if it is not there.
    #[must_use]
    pub fn repeatable(&self) -> String {
        self.table.replacen("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1)
    }

    /// The statements that make the secondary keys that `there` lacks. A full-text key is made alone.
    #[must_use]
    pub fn add_keys(&self, there: &Self, table: &(String, String)) -> Vec<String> {
        let missing = lacking(&self.keys, &there.keys);
        let (alone, together): (Vec<&str>, Vec<&str>) =
            missing.into_iter().partition(|line| line.starts_with("FULLTEXT"));
        let together = (!together.is_empty()).then(|| alter(table, &together));
        together.into_iter().chain(alone.iter().map(|line| alter(table, &[*line]))).collect()
    }

    /// The statement that makes the foreign keys that `there` lacks.
    #[must_use]
    pub fn add_foreign(&self, there: &Self, table: &(String, String)) -> Option<String> {
        let missing = lacking(&self.foreign, &there.foreign);
        (!missing.is_empty()).then(|| alter(table, &missing))
    }
}

fn alter((schema, table): &(String, String), lines: &[&str]) -> String {
    let added: Vec<String> = lines.iter().map(|line| format!("ADD {line}")).collect();
    format!("ALTER TABLE {}.{} {};\n", ident(schema), ident(table), added.join(", "))
}

fn lacking<'a>(wanted: &'a [String], there: &[String]) -> Vec<&'a str> {
    let known: Vec<Option<String>> = there.iter().map(|line| name(line)).collect();
    wanted.iter().map(String::as_str).filter(|line| !known.contains(&name(line))).collect()
}

enum Part {
    Key,
    Foreign,
    Other,
}

fn kind(line: &str) -> Part {
    if line.starts_with("CONSTRAINT ") && line.contains(" FOREIGN KEY ") {
        return Part::Foreign;
    }
    let keys = ["KEY ", "UNIQUE KEY ", "FULLTEXT KEY ", "SPATIAL KEY "];
    if keys.iter().any(|word| line.starts_with(word)) { Part::Key } else { Part::Other }
}

/// The first name in a line, quoted.
fn name(line: &str) -> Option<String> {
    let start = line.find('`')?;
    let end = start + 1 + line[start + 1..].find('`')?;
    Some(line[start..=end].to_owned())
}

/// Whether a key's first column is this one.
fn begins_with(line: &str, column: &str) -> bool {
    line.split_once('(').is_some_and(|(_, rest)| rest.starts_with(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &str = "CREATE TABLE `orders` (\n  `id` int NOT NULL AUTO_INCREMENT,\n  `account_id` bigint NOT NULL,\n  \
        `note` text COMMENT 'a KEY, of `x`',\n  PRIMARY KEY (`account_id`,`id`),\n  UNIQUE KEY `one` (`note`(10)),\n  \
        KEY `counting` (`id`,`account_id`),\n  KEY `orders_account` (`account_id`),\n  FULLTEXT KEY `words` (`note`),\n  \
        CONSTRAINT `of_account` FOREIGN KEY (`account_id`) REFERENCES `accounts` (`id`) ON DELETE CASCADE,\n  \
        CONSTRAINT `few` CHECK ((`id` > 0))\n) ENGINE=InnoDB AUTO_INCREMENT=7\n/*!50100 PARTITION BY KEY (id) */";

    #[test]
    fn keys_wait_for_the_rows_but_the_one_that_counts() {
        let found = Definition::read(ORDERS);
        assert_eq!(found.keys.len(), 3, "{found:?}");
        assert_eq!(found.foreign.len(), 1, "{found:?}");
        let made = found.repeatable();
        assert!(made.starts_with("CREATE TABLE IF NOT EXISTS `orders` (\n  `id` int NOT NULL AUTO_INCREMENT,\n"));
        assert!(
            made.contains("  KEY `counting` (`id`,`account_id`),\n  CONSTRAINT `few` CHECK ((`id` > 0))\n) ENGINE")
        );
        assert!(made.ends_with("/*!50100 PARTITION BY KEY (id) */") && !made.contains("orders_account"), "{made}");
    }

    #[test]
    fn only_what_is_missing_is_made_and_a_full_text_key_alone() {
        let (whole, table) = (Definition::read(ORDERS), ("shop".to_owned(), "orders".to_owned()));
        let bare = Definition::read(&whole.table);
        let keys = whole.add_keys(&bare, &table);
        assert_eq!(
            keys,
            [
                "ALTER TABLE `shop`.`orders` ADD UNIQUE KEY `one` (`note`(10)), ADD KEY `orders_account` (`account_id`);\n",
                "ALTER TABLE `shop`.`orders` ADD FULLTEXT KEY `words` (`note`);\n"
            ]
        );
        assert!(whole.add_foreign(&bare, &table).is_some_and(|sql| sql.contains("ADD CONSTRAINT `of_account`")));
        assert_eq!((whole.add_keys(&whole, &table).len(), whole.add_foreign(&whole, &table)), (0, None));
    }
}
