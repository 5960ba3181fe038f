//! `npm audit`: what the advisories here say of what somebody has installed. Invariant: no name that is asked about leaves the machine; where
//! no advisory on npm is known here, that is said, and nobody is told that nothing was found.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use serde::Serialize;

use super::name;
use crate::app::App;
use crate::domain::access::{Permit, Read};
use crate::domain::name::{PackageName, PackageType};
use crate::error::{Code, Error, Result};
use crate::formats::encoded;
use crate::http::{Reply, Request, header, json};
use crate::registry::{Concern, Concerns};

/// Bytes of a question, packed and unpacked.
const QUESTION_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Serialize)]
struct Advisory<'a> {
    id: &'a str,
    url: String,
    title: &'a str,
    severity: &'a str,
    vulnerable_versions: &'a str,
    cwe: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    cvss: Option<Cvss<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cvss<'a> {
    score: f64,
    vector_string: &'a str,
}

/// POST of package names with the versions that are installed.
pub(super) async fn bulk(app: Arc<App>, permit: Permit<Read>, mut request: Request) -> Result<Reply> {
    let is_packed = request.header_text(header::CONTENT_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
    let bytes = request.body.read_bounded(QUESTION_LIMIT_BYTES).await?;
    let bytes = if is_packed { app.run(move |_| unpacked(&bytes)).await? } else { bytes };
    let asked: BTreeMap<String, Vec<String>> = json::parse(&bytes)?;
    // What is no name of npm, such as that of a folder, is in no advisory either.
    let installed: Vec<(PackageName, Vec<String>)> =
        asked.into_iter().filter_map(|(text, versions)| Some((name::package(&text).ok()?, versions))).collect();
    let base_url = request.base_url()?;
    let told = app.run(move |app| app.registry.advisories_of(&permit, &installed)).await?;
    if told.unknown_types.contains(PackageType::npm().as_str()) {
        let message = "no advisories on npm packages are known here, so nothing can be said of these; import them with `artifortress advisories import`";
        return Err(Error::new(Code::NotFound, message));
    }
    answer(&told, &base_url)
}

fn unpacked(bytes: &[u8]) -> Result<Bytes> {
    let mut unpacked = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes).take(QUESTION_LIMIT_BYTES + 1);
    reader.read_to_end(&mut unpacked).map_err(|cause| Error::bad_request("the body says that it is gzip, but it is not").because(cause))?;
    if unpacked.len() as u64 > QUESTION_LIMIT_BYTES {
        return Err(Error::too_large("the list of what is installed, in bytes,", QUESTION_LIMIT_BYTES));
    }
    Ok(unpacked.into())
}

fn answer(told: &Concerns, base_url: &str) -> Result<Reply> {
    let listed = told
        .packages
        .iter()
        .map(|(package, concerns)| (name::written(package), concerns.iter().map(|concern| Advisory::of(concern, base_url)).collect()));
    Reply::ok(&listed.collect::<BTreeMap<String, Vec<Advisory<'_>>>>())
}

impl<'a> Advisory<'a> {
    fn of(concern: &'a Concern, base_url: &str) -> Advisory<'a> {
        let details = &concern.details;
        Advisory {
            id: &concern.id,
            // Clients print an address for each.
            url: details.url.clone().unwrap_or_else(|| format!("{base_url}/v1/admin/advisories/{}", encoded(&concern.id))),
            title: if details.summary.is_empty() { &concern.id } else { &details.summary },
            severity: concern.severity_word(),
            vulnerable_versions: &concern.vulnerable_versions,
            cwe: &details.weaknesses,
            cvss: details.vector.as_ref().map(|(vector, score)| Cvss { score: f64::from(score.tenths()) / 10.0, vector_string: vector }),
        }
    }
}
