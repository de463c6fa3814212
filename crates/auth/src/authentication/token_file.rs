//! Tokens that stand in a file: `token,user,uid,"group1,group2"` (`--token-auth-file`).

use async_trait::async_trait;
use sampan_apiserver::User;
use sampan_apiserver::chain::authentication::Rejected;
use subtle::ConstantTimeEq as _;

use super::token::PlainToken;

/// Why a file cannot be used. None of the sentences shows a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line has too few columns.
    #[error("line {line} must have at least 3 columns (token, user name, user uid), found {found}")]
    Columns {
        /// Which line.
        line: u64,
        /// How many there are.
        found: usize,
    },
    /// A line is broken.
    #[error("line {line} is no CSV")]
    Syntax {
        /// Which line.
        line: u64,
    },
}

/// The tokens of a file.
pub struct TokenFile(Vec<(String, User)>);

impl std::fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenFile({})", self.0.len())
    }
}

impl TokenFile {
    /// Reads the text of a file. A line with an empty token is left out, as upstream does.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::Headers)
            .from_reader(text.as_bytes());
        let mut tokens = Vec::new();
        for record in reader.records() {
            let record =
                record.map_err(|e| Error::Syntax { line: e.position().map_or(0, csv::Position::line) })?;
            let line = record.position().map_or(0, csv::Position::line);
            if record.len() < 3 {
                return Err(Error::Columns { line, found: record.len() });
            }
            let column = |i| record.get(i).unwrap_or_default();
            if column(0).is_empty() {
                tracing::warn!(line, "the file of tokens has an empty token");
                continue;
            }
            let groups = column(3).split(',').map(str::trim).filter(|g| !g.is_empty()).map(str::to_owned);
            let user = User {
                name: column(1).into(),
                uid: column(2).into(),
                groups: groups.collect(),
                ..User::default()
            };
            tokens.push((column(0).to_owned(), user));
        }
        Ok(Self(tokens))
    }
}

#[async_trait]
impl PlainToken for TokenFile {
    async fn user(&self, token: &str) -> Result<Option<User>, Rejected> {
        // All are compared, each in constant time, so that the time tells nothing; the last of a token that stands there
        // twice wins, as upstream.
        let mut found = None;
        for (known, user) in &self.0 {
            if bool::from(known.as_bytes().ct_eq(token.as_bytes())) {
                found = Some(user);
            }
        }
        Ok(found.cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_line_is_a_user() {
        let file = TokenFile::parse("a,jane,1,\"x, y\"\nb,joe,2\n\n,nobody,3\n").unwrap();
        let jane = file.user("a").await.unwrap().unwrap();
        assert_eq!((jane.name.as_str(), jane.uid.as_str()), ("jane", "1"));
        assert_eq!(jane.groups, ["x", "y"]);
        assert_eq!(file.user("b").await.unwrap().unwrap().groups, [] as [&str; 0]);
        for unknown in ["", "c", "aa"] {
            assert_eq!(file.user(unknown).await.unwrap(), None, "{unknown}");
        }
        assert_eq!(format!("{file:?}"), "TokenFile(2)");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_without_its_tokens() {
        let error = TokenFile::parse("a,jane,1\nsecret,joe\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2 must have at least 3 columns (token, user name, user uid), found 2"
        );
    }
}
