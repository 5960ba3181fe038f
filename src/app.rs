//! The application: everything a handler works with. Invariant: `App::run` is a handler's only way to blocking work.

use std::sync::Arc;

use http::HeaderValue;
use ipnet::IpNet;

use crate::access::{Identities, Tokens};
use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::access::{Caller, Permit, Read};
use crate::domain::id::RequestId;
use crate::domain::name::RepoKey;
use crate::domain::repo::Repo;
use crate::error::Result;
use crate::hop;
use crate::http::{Application, HttpLimits, Served};
use crate::metrics::Metrics;
use crate::pages::{Page, PageKey, Pages};
use crate::policy::Engine;
use crate::quarantine::Review;
use crate::registry::{Gate, GateLimits, InspectionLimits, Inspector, Registry};
use crate::store::Store;

/// The parts of a running instance.
pub struct App {
    /// The settings.
    pub config: Config,
    /// Time, ids, secrets.
    pub clock: Arc<dyn Clock>,
    /// The verbs.
    pub registry: Arc<Registry>,
    /// The verbs of a reviewer.
    pub review: Arc<Review>,
    /// The verbs on tokens.
    pub tokens: Arc<Tokens>,
    identities: Identities,
    pages: Pages,
    metrics: Arc<Metrics>,
    limits: HttpLimits,
}

/// One repo's evaluations leave the other half of the machine to everybody else.
fn half_of_the_cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2)
}

impl App {
    /// Puts an instance together; `engine` judges at the gate.
    #[must_use]
    pub fn new(config: Config, clock: Arc<dyn Clock>, store: &Arc<Store>, blobs: &Blobs, engine: Arc<dyn Engine>) -> App {
        let gate = Gate::new(
            engine,
            GateLimits {
                budget_ms: config.policy.evaluation_timeout_ms,
                concurrent: config.policy.concurrent_evaluations,
                concurrent_per_repo: half_of_the_cores(),
            },
            Arc::clone(store.metrics()),
        );
        let inspector = Inspector::new(InspectionLimits {
            timeout_ms: config.policy.inspection_timeout_ms,
            concurrent: config.policy.concurrent_inspections,
        });
        let blobs = blobs.clone().measured_by(Arc::clone(store.metrics()));
        let upload_expire_ms = i64::from(config.uploads.expire_hours) * 3_600_000;
        let registry = Registry::new(Arc::clone(store), blobs.clone(), gate, inspector, upload_expire_ms);
        let limits = HttpLimits {
            header_read_timeout_ms: config.http.header_read_timeout_ms,
            body_idle_timeout_ms: config.http.body_idle_timeout_ms,
            drain_timeout_ms: config.http.drain_timeout_ms,
            json_limit_bytes: config.http.json_limit_bytes,
            handshake_timeout_ms: config.http.handshake_timeout_ms,
            max_streams: config.http.max_streams,
            max_connections: config.http.max_connections,
            ..HttpLimits::default()
        };
        App {
            clock,
            registry: Arc::new(registry),
            review: Arc::new(Review::new(Arc::clone(store), blobs)),
            tokens: Arc::new(Tokens::new(Arc::clone(store), config.tokens.default_ttl_days)),
            identities: Identities::new(Arc::clone(store)),
            pages: Pages::new(config.pages.memory_bytes, Arc::clone(store.generations()), Arc::clone(store.metrics())),
            metrics: Arc::clone(store.metrics()),
            limits,
            config,
        }
    }

    /// Runs blocking `work` on the blocking pool.
    ///
    /// # Errors
    /// What `work` returns.
    pub async fn run<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&App) -> Result<T> + Send + 'static,
    {
        let app = Arc::clone(self);
        hop::run(move || work(&app)).await
    }

    /// A rendered index for the holder of `permit`: out of memory while nothing it tells of has changed, else by `render`, which
    /// runs on the blocking pool and once for all who ask meanwhile. `None` when there is nothing to list. What `render` gives may
    /// depend on the key, the repo, and on whether there are credentials, on nothing else: not on roles, a header or the time.
    ///
    /// # Errors
    /// What `render` returns.
    pub async fn page<F>(self: &Arc<Self>, permit: &Permit<Read>, key: PageKey, render: F) -> Result<Option<Arc<Page>>>
    where
        F: FnOnce(&App, &Permit<Read>) -> Result<Option<Page>> + Send + 'static,
    {
        let reader = permit.clone();
        self.pages.find(permit, key, || self.run(move |app| render(app, &reader))).await
    }
}

impl Application for App {
    async fn authenticate(&self, authorization: Option<&HeaderValue>, request_id: RequestId) -> Result<Caller> {
        self.identities.authenticate(authorization, request_id).await
    }

    async fn find_repo(&self, key: &RepoKey) -> Result<Option<Arc<Repo>>> {
        self.identities.find_repo(key).await
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn limits(&self) -> &HttpLimits {
        &self.limits
    }

    fn public_url(&self) -> Option<&str> {
        self.config.transport.public_url.as_deref()
    }

    fn trusted_proxies(&self) -> &[IpNet] {
        &self.config.transport.trusted_proxies
    }

    fn begun(&self) {
        self.metrics.requests.begun();
    }

    fn served(&self, served: &Served<'_>) {
        self.metrics.requests.ended(served.method, served.pattern, served.status, served.elapsed);
    }

    fn connected(&self) {
        self.metrics.requests.connected();
    }

    fn disconnected(&self) {
        self.metrics.requests.disconnected();
    }
}
