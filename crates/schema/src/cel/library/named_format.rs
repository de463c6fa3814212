//! Formats of names, by name: `format.dns1123Label().validate(self.name)` is the list of complaints, if there are any.

use cel::common::types::{CelList, CelOptional, CelString, STRING_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use sampan_model::name;

use super::{Of, Own, arg, is_request_uri};
use crate::validate::formats::fits;

static KIND: Type = Type::new_unspecified_type("kubernetes.NamedFormat");

/// A format: its name and what complains.
#[derive(Debug, Clone, Copy)]
struct Format(&'static str, fn(&str) -> Vec<String>);

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Own for Format {
    fn kind() -> &'static Type {
        &KIND
    }
}

/// The complaint about a text that has not the format of schemas.
fn unless_fits(format: &str, text: &str, complaint: &str) -> Vec<String> {
    if fits(format, text) { Vec::new() } else { vec![complaint.to_owned()] }
}

/// One function for each format, since the interpreter's functions carry nothing with them.
macro_rules! formats {
    ($($name:literal => $check:expr;)*) => {
        const FORMATS: &[Format] = &[$(Format($name, $check)),*];

        fn functions(env: &mut Env) -> Result<(), DeclarationError> {
            $(env.add_overload(concat!("format.", $name), concat!("format-", $name), vec![], |_| {
                Ok(CowVal::owned(Of(Format($name, $check))))
            })?;)*
            Ok(())
        }
    };
}

formats! {
    "dns1123Label" => |s| name::name_is_dns_label(s, false);
    "dns1123Subdomain" => |s| name::name_is_dns_subdomain(s, false);
    "dns1035Label" => |s| name::name_is_dns1035_label(s, false);
    "qualifiedName" => name::is_qualified_name;
    "dns1123LabelPrefix" => |s| name::name_is_dns_label(s, true);
    "dns1123SubdomainPrefix" => |s| name::name_is_dns_subdomain(s, true);
    "dns1035LabelPrefix" => |s| name::name_is_dns1035_label(s, true);
    "labelValue" => name::is_valid_label_value;
    "uri" => |s| is_request_uri(s).err().into_iter().collect();
    "uuid" => |s| unless_fits("uuid", s, "does not match the UUID format");
    "byte" => |s| unless_fits("byte", s, "invalid base64");
    "date" => |s| unless_fits("date", s, "invalid date");
    "datetime" => |s| unless_fits("datetime", s, "invalid datetime");
}

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    functions(env)?;
    env.add_overload("format.named", "format_named", vec![STRING_TYPE], named)?;
    env.add_member_overload("validate", "format_validate", KIND.to_owned(), vec![STRING_TYPE], validate)
}

fn named<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let name = arg::<CelString<'_>>(&args, 0)?.inner();
    let found = FORMATS.iter().find(|format| format.0 == name);
    Ok(CowVal::owned(found.map_or_else(CelOptional::none, |format| CelOptional::of(Box::new(Of(*format))))))
}

fn validate<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let complaints = (arg::<Of<Format>>(&args, 0)?.0.1)(arg::<CelString<'_>>(&args, 1)?.inner());
    if complaints.is_empty() {
        return Ok(CowVal::owned(CelOptional::none()));
    }
    let list: Vec<Box<dyn Val>> =
        complaints.into_iter().map(|c| Box::new(CelString::from(c)) as Box<dyn Val>).collect();
    Ok(CowVal::owned(CelOptional::of(Box::new(CelList::from(list)))))
}
