//! The way by which a proxied request comes: the part of its path that is this server's, and what of it is put before links that lead
//! back. Pure; the rules are upstream's (`proxy.Transport`, Go's `path.Join` and `url.URL`).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What Go leaves as it is in a path.
const PATH: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// A path as a URL has it.
pub(super) fn encoded(path: &str) -> String {
    utf8_percent_encode(path, &PATH).to_string()
}

/// A path without `.`, `..` and doubled slashes; a slash at its end stays.
pub(super) fn cleaned(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let mut words: Vec<&str> = Vec::new();
    for word in path.split('/') {
        match word {
            "" | "." => {}
            ".." => {
                words.pop();
            }
            word => words.push(word),
        }
    }
    let slash = if path.ends_with('/') && !words.is_empty() { "/" } else { "" };
    format!("/{}{slash}", words.join("/"))
}

/// What stands before the proxied path, decoded: `/api/v1/namespaces/n/pods/p/proxy`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Way(String);

impl Way {
    /// Of the whole path and the part that is passed on, both decoded.
    pub(super) fn of(whole: &str, passed: &str) -> Self {
        Self(whole.strip_suffix(passed).unwrap_or(whole).to_owned())
    }

    fn joined(&self, path: &str) -> String {
        cleaned(&format!("{}/{path}", self.0))
    }

    /// The path that the client asked for, as the other side is told (`X-Forwarded-Uri`).
    pub(super) fn forwarded_uri(&self, path: &str) -> String {
        self.joined(path)
    }

    /// A link as a client of this server follows it: below the proxy, if it leads to the same host. `authority` is where the request went,
    /// `host` what the client calls this server.
    pub(super) fn rewritten(&self, link: &str, authority: &str, host: &str) -> String {
        let parts = Link::parse(link);
        let is_elsewhere = !parts.host.is_empty() && parts.host != authority && parts.host != host;
        if is_elsewhere || !parts.path.starts_with('/') {
            return link.to_owned();
        }
        // A link to this server by its name stays one.
        let origin = if parts.host == host { parts.origin } else { "" };
        if parts.path.starts_with(&encoded(&self.0)) {
            return format!("{origin}{}{}", parts.path, parts.rest);
        }
        let below = cleaned(&format!("{}/{}", encoded(&self.0), parts.path));
        format!("{origin}{below}{}", parts.rest)
    }
}

/// The parts of a link: `http://user@host` (or nothing), the host in it, the path, and what follows that.
struct Link<'a> {
    origin: &'a str,
    host: &'a str,
    path: &'a str,
    rest: &'a str,
}

impl<'a> Link<'a> {
    fn parse(link: &'a str) -> Self {
        let is_scheme = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        };
        let after_scheme = match link.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => rest,
            _ => link,
        };
        let (host, behind) = match after_scheme.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", after_scheme),
        };
        let origin = &link[..link.len() - behind.len()];
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let (path, rest) = behind.split_at(behind.find(['?', '#']).unwrap_or(behind.len()));
        Self { origin, host, path, rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        let rows = [
            ("", ""),
            ("/", "/"),
            ("/a/b/", "/a/b/"),
            ("/a//b/./c", "/a/b/c"),
            ("/a/../../b", "/b"),
            ("/../", "/"),
        ];
        for (path, want) in rows {
            assert_eq!(cleaned(path), want, "{path}");
        }
        assert_eq!(encoded("/a b/ü%/$&+,:;=@-_.~!"), "/a%20b/%C3%BC%25/$&+,:;=@-_.~%21");
    }

    #[test]
    fn the_other_side_is_told_the_whole_path() {
        let rows = [
            ("/p/proxy/a%20b", "/a b", "/p/proxy/a%20b"),
            ("/p/proxy/a/", "/a/", "/p/proxy/a/"),
            ("/p/proxy/", "/", "/p/proxy/"),
        ];
        for (whole, passed, want) in rows {
            let whole = percent_encoding::percent_decode_str(whole).decode_utf8().unwrap();
            let way = Way::of(&whole, passed);
            assert_eq!(way, Way("/p/proxy".to_owned()));
            assert_eq!(way.forwarded_uri(&encoded(passed)), want);
        }
    }

    #[test]
    fn links_to_the_same_host_stay_below_the_proxy() {
        let way = Way("/p/proxy".to_owned());
        let rows = [
            ("/login", "/p/proxy/login"),
            ("/login/?to=/x#top", "/p/proxy/login/?to=/x#top"),
            ("http://10.0.0.1:80/login", "/p/proxy/login"),
            ("//10.0.0.1:80/login", "/p/proxy/login"),
            ("https://api:6443/login", "https://api:6443/p/proxy/login"),
            ("http://other/login", "http://other/login"),
            ("http://10.0.0.1:80", "http://10.0.0.1:80"),
            ("login", "login"),
            ("?page=2", "?page=2"),
            ("mailto:me@example.org", "mailto:me@example.org"),
            ("/p/proxy/login", "/p/proxy/login"),
        ];
        for (link, want) in rows {
            assert_eq!(way.rewritten(link, "10.0.0.1:80", "api:6443"), want, "{link}");
        }
    }
}
