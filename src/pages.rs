//! Rendered indexes, kept in memory. Invariant: a page is given only to a request that loaded a generation no newer than the page's,
//! so whoever was told of a change never sees a page from before it (`store::Generations` says why); who reads without credentials
//! and who reads with them have pages of their own; the memory is bounded and the least useful pages leave first.
//!
//! Each page is rendered once: who asks for it meanwhile waits without holding a thread and gets the same, the failure too. When the
//! one who renders goes away, one of those who wait takes over.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::{Cache as Kept, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use crate::domain::access::{Permit, Read};
use crate::domain::digest::Digest;
use crate::domain::name::{PackageName, PackageType, RepoKey};
use crate::error::{Error, Result};
use crate::http::{Cache, EntityTag, HeaderValue, Reply, Request, header};
use crate::metrics::Metrics;
use crate::store::{Generation, Generations};

/// The memory is kept in so many parts: a page that does not fit one of them is not kept.
const PARTS: usize = 4;
/// What one page costs beside its bytes and its names.
const OVERHEAD_BYTES: usize = 256;
/// How large pages are expected to be; only a first guess of their number.
const TYPICAL_BYTES: u64 = 16 << 10;

/// A rendered index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What is sent.
    pub bytes: Bytes,
    /// The digest of the form and the content: another one as soon as anything is different.
    pub tag: EntityTag,
    /// The media type of the form.
    pub media_type: &'static str,
}

impl Page {
    /// A page of this form and content.
    ///
    /// # Errors
    /// None in practice: a tag is hex digits.
    pub fn new(media_type: &'static str, bytes: impl Into<Bytes>) -> Result<Page> {
        let bytes = bytes.into();
        let content = Digest::of(&bytes).hex();
        let tag = EntityTag::new(&Digest::of(format!("{media_type} {content}").as_bytes()).hex())?;
        Ok(Page { bytes, tag, media_type })
    }
}

/// Which page of a repo: what it is about and everything that its content depends on, but for the reader: the repo and whether
/// there are credentials are read off the permit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageKey {
    about: About,
    form: &'static str,
    base_url: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum About {
    Package(PackageName),
    List(PackageType),
}

impl PageKey {
    /// The index of a package in one of its forms, such as a media type.
    #[must_use]
    pub fn package(package: &PackageName, form: &'static str) -> PageKey {
        PageKey { about: About::Package(package.clone()), form, base_url: String::new() }
    }

    /// The list of the packages of a type.
    #[must_use]
    pub fn list(package_type: &PackageType, form: &'static str) -> PageKey {
        PageKey { about: About::List(package_type.clone()), form, base_url: String::new() }
    }

    /// The same page with addresses under this one; for forms whose links are absolute.
    #[must_use]
    pub fn under(self, base_url: String) -> PageKey {
        PageKey { base_url, ..self }
    }
}

/// A page with its reader, as far as that matters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    repo: RepoKey,
    is_authenticated: bool,
    key: PageKey,
}

impl Place {
    fn size_bytes(&self) -> usize {
        let about = match &self.key.about {
            About::Package(package) => 2 * (package.name().len() + package.namespace().len()) + package.package_type().as_str().len(),
            About::List(package_type) => package_type.as_str().len(),
        };
        self.repo.as_str().len() + about + self.key.base_url.len()
    }
}

/// How a rendering ended.
#[derive(Clone)]
enum Rendered {
    /// What there is to list, as of a generation; `None` when that is nothing.
    Page(Generation, Option<Arc<Page>>),
    /// For those who waited; it is never kept.
    Failed(Arc<Error>),
}

impl Rendered {
    fn is_of(&self, wanted: Generation) -> bool {
        match self {
            Rendered::Page(generation, _) => *generation >= wanted,
            Rendered::Failed(_) => false,
        }
    }
}

/// What a page weighs, in bytes.
#[derive(Debug, Clone)]
struct Weight;

impl Weighter<Place, Rendered> for Weight {
    fn weight(&self, place: &Place, rendered: &Rendered) -> u64 {
        match rendered {
            Rendered::Page(_, page) => {
                let bytes = page.as_ref().map_or(0, |page| page.bytes.len());
                u64::try_from(bytes.saturating_add(place.size_bytes()).saturating_add(OVERHEAD_BYTES)).unwrap_or(u64::MAX)
            }
            // More than fits, so that it goes to those who wait and to nobody else.
            Rendered::Failed(_) => u64::MAX,
        }
    }
}

/// Counts the pages that had to leave, or were too large to come in.
#[derive(Debug, Clone)]
struct Leaving(Arc<Metrics>);

impl Lifecycle<Place, Rendered> for Leaving {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _place: Place, rendered: Rendered) {
        match rendered {
            Rendered::Page(..) => self.0.pages.evicted(),
            Rendered::Failed(_) => {}
        }
    }
}

type Guard<'a> = PlaceholderGuard<'a, Place, Rendered, Weight, DefaultHashBuilder, Leaving>;

/// The rendered indexes of an instance.
pub struct Pages {
    kept: Kept<Place, Rendered, Weight, DefaultHashBuilder, Leaving>,
    generations: Arc<Generations>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages").field("bytes", &self.kept.weight()).finish_non_exhaustive()
    }
}

impl Pages {
    /// Room for `memory_bytes` of pages; one larger than about a quarter of that is served and not kept.
    #[must_use]
    pub fn new(memory_bytes: u64, generations: Arc<Generations>, metrics: Arc<Metrics>) -> Pages {
        let typical = usize::try_from(memory_bytes / TYPICAL_BYTES).unwrap_or(usize::MAX).max(PARTS * 32);
        let (leaving, hasher) = (Leaving(Arc::clone(&metrics)), DefaultHashBuilder::default());
        let mut options = OptionsBuilder::new();
        options.shards(PARTS).estimated_items_capacity(typical).weight_capacity(memory_bytes);
        let kept = match options.build() {
            Ok(options) => Kept::with_options(options, Weight, hasher, leaving),
            // Only where one of the two numbers is not given.
            Err(_) => Kept::with(typical, memory_bytes, Weight, hasher, leaving),
        };
        Pages { kept, generations, metrics }
    }

    /// The page for the holder of `permit`: the kept one, or what `render` gives; `None` when there is nothing to list.
    ///
    /// # Errors
    /// What `render` returns.
    pub async fn find<F, R>(&self, permit: &Permit<Read>, key: PageKey, render: F) -> Result<Option<Arc<Page>>>
    where
        F: FnOnce() -> R,
        R: Future<Output = Result<Option<Page>>>,
    {
        let place = Place { repo: permit.repo_key().clone(), is_authenticated: permit.caller().is_authenticated(), key };
        let wanted = self.generation(&place);
        loop {
            match self.kept.get_value_or_guard_async(&place).await {
                Ok(Rendered::Page(generation, page)) if generation >= wanted => {
                    self.metrics.pages.hit();
                    return Ok(page);
                }
                Ok(Rendered::Page(..)) => drop(self.kept.remove_if(&place, |kept| !kept.is_of(wanted))),
                Ok(Rendered::Failed(error)) => return Err(error.again()),
                Err(guard) => return self.render(&place, guard, render).await,
            }
        }
    }

    /// Renders for everybody who waits. The generation is loaded anew, before any view is opened, so that all who came until
    /// now are served by it.
    async fn render<F, R>(&self, place: &Place, guard: Guard<'_>, render: F) -> Result<Option<Arc<Page>>>
    where
        F: FnOnce() -> R,
        R: Future<Output = Result<Option<Page>>>,
    {
        self.metrics.pages.missed();
        let generation = self.generation(place);
        let (rendered, answer) = match render().await {
            Ok(page) => {
                let page = page.map(Arc::new);
                (Rendered::Page(generation, page.clone()), Ok(page))
            }
            Err(error) => (Rendered::Failed(Arc::new(error.again())), Err(error)),
        };
        // It fails when somebody has removed the place meanwhile, and nobody minds.
        drop(guard.insert(rendered));
        self.metrics.pages.set_kept(self.kept.weight());
        answer
    }

    fn generation(&self, place: &Place) -> Generation {
        match &place.key.about {
            About::Package(package) => self.generations.of_package(&place.repo, package),
            About::List(_) => self.generations.of_list(&place.repo),
        }
    }
}

/// Answers a GET or HEAD with a page, or with 304 when the client has it.
///
/// # Errors
/// None in practice: a tag is visible ASCII.
pub fn reply(request: &Request, page: &Page) -> Result<Reply> {
    let reply = Reply::conditional(request, &page.tag, Cache::Revalidate, || Ok(Reply::bytes(page.media_type, page.bytes.clone())))?;
    // What is told depends on the form asked for and, for reasons, on whether there are credentials.
    Ok(reply.with_header(header::VARY, HeaderValue::from_static("Accept, Authorization")))
}

#[cfg(test)]
mod tests;
