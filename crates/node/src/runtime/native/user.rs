//! Who a container's processes are: its pod's wishes and its image's, looked up in the image's own `passwd` and `group`.

use crate::container::Security;

/// A user with its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// All groups, the first one included.
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// A line of `passwd`.
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn users(passwd: &str) -> impl Iterator<Item = User<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, uid, gid) = (fields.next()?, fields.nth(1)?, fields.next()?);
        Some(User {
            name,
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: fields.nth(1).unwrap_or_default(),
        })
    })
}

/// Name, number and members of the lines of `group`.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, gid) = (fields.next()?, fields.nth(1)?);
        Some((name, gid.parse().ok()?, fields.next().unwrap_or_default()))
    })
}

/// Works it out. `image_user` is `USER[:GROUP]` by name or number; empty is root. The texts of the errors are containerd's.
pub(super) fn resolve(
    image_user: &str,
    security: &Security,
    passwd: &str,
    group: &str,
) -> Result<Identity, String> {
    let (image_user, image_group) = image_user.split_once(':').unwrap_or((image_user, ""));
    // A user by number need not be known; one by name must be.
    let wanted = security.user.map(|uid| uid.to_string());
    let name = wanted.as_deref().unwrap_or(if image_user.is_empty() { "0" } else { image_user });
    let number = name.parse::<u32>().ok();
    let known = users(passwd).find(|user| user.name == name || Some(user.uid) == number);
    let uid = match (&known, number) {
        (Some(user), _) => user.uid,
        (None, Some(uid)) => uid,
        (None, None) => {
            return Err(format!("unable to find user {name}: no matching entries in passwd file"));
        }
    };
    let gid = match security.group {
        Some(gid) => gid,
        // The image's group belongs to the image's user.
        None if security.user.is_none() && !image_group.is_empty() => {
            let number = image_group.parse::<u32>().ok();
            let known = groups(group)
                .find(|(name, gid, _)| *name == image_group || Some(*gid) == number)
                .map(|(_, gid, _)| gid);
            known.or(number).ok_or_else(|| {
                format!("unable to find group {image_group}: no matching entries in group file")
            })?
        }
        None => known.as_ref().map_or(0, |user| user.gid),
    };
    let mut all = vec![gid];
    if !security.strict_groups
        && let Some(user) = &known
    {
        all.extend(
            groups(group)
                .filter(|(_, _, members)| members.split(',').any(|member| member == user.name))
                .map(|(_, gid, _)| gid),
        );
    }
    all.extend(&security.supplemental_groups);
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|gid| seen.insert(*gid));
    let home = known.map(|user| user.home).filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
    Ok(Identity { uid, gid, groups: all, home })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/false\nbroken\n7:x:70:71::/seven:\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root\nweb:x:34:\nlogs:x:40:web,other\n";

    #[test]
    fn users_are_found_in_the_image() {
        let plain = Security::default;
        let user = |uid| Security { user: Some(uid), ..Security::default() };
        let identity = |uid, gid, groups: &[u32], home: &str| {
            Ok(Identity { uid, gid, groups: groups.to_vec(), home: home.to_owned() })
        };
        for (name, image, security, expected) in [
            ("nobody is named", "", plain(), identity(0, 0, &[0, 10], "/root")),
            ("a name", "web", plain(), identity(33, 34, &[34, 40], "/var/www")),
            ("a number that is known", "33", plain(), identity(33, 34, &[34, 40], "/var/www")),
            ("a number that is not", "1234", plain(), identity(1234, 0, &[0], "/")),
            ("a name and a group", "web:wheel", plain(), identity(33, 10, &[10, 40], "/var/www")),
            ("a name and the number of a group", "web:99", plain(), identity(33, 99, &[99, 40], "/var/www")),
            ("the pod's user", "web:wheel", user(1000), identity(1000, 0, &[0], "/")),
            ("the pod's user, known to the image", "", user(33), identity(33, 34, &[34, 40], "/var/www")),
            (
                "the pod's group",
                "web",
                Security { group: Some(5), ..plain() },
                identity(33, 5, &[5, 40], "/var/www"),
            ),
            (
                "further groups",
                "web",
                Security { supplemental_groups: vec![2000, 40], ..plain() },
                identity(33, 34, &[34, 40, 2000], "/var/www"),
            ),
            (
                "only the pod's groups",
                "web",
                Security { supplemental_groups: vec![2000], strict_groups: true, ..plain() },
                identity(33, 34, &[34, 2000], "/var/www"),
            ),
            ("a name that looks like a number", "7", plain(), identity(70, 71, &[71], "/seven")),
            (
                "an unknown name",
                "nobody",
                plain(),
                Err("unable to find user nobody: no matching entries in passwd file".to_owned()),
            ),
            (
                "an unknown group",
                "web:staff",
                plain(),
                Err("unable to find group staff: no matching entries in group file".to_owned()),
            ),
        ] {
            assert_eq!(resolve(image, &security, PASSWD, GROUP), expected, "{name}");
        }
    }
}
