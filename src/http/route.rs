//! The table of routes. Invariant: the access of a route is the type of proof that its handler takes; it is stated nowhere else.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ::http::Method;

use super::fail::{self, Dialect};
use super::reply::Reply;
use super::request::Request;
use crate::domain::access::{Caller, Duty, Operator, Permit, Role, Signed, no_such_repo, unauthorized};
use crate::domain::repo::Repo;
use crate::error::Result;

/// The name that a pattern gives to the repo.
pub const REPO_PARAM: &str = "repoKey";

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever holds this role on the repo named in the address.
    Repo(Role),
    /// Whoever holds `admin` on every repo.
    Operator,
    /// Whoever gave valid credentials.
    Signed,
    /// Anyone, without credentials too.
    Anyone,
}

impl Access {
    /// The word in the role matrix.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Access::Repo(role) => role.as_str(),
            Access::Operator => "operator",
            Access::Signed => "signed",
            Access::Anyone => "anyone",
        }
    }
}

/// A proof that a handler can ask for as its second argument.
pub trait Credential: Sized + Send + 'static {
    /// Who gets it.
    const ACCESS: Access;

    /// The proof, if `caller` has the right. `repo` is the repo of the address: `None` when there is none, or none of that key.
    ///
    /// # Errors
    /// `unauthorized`, `not_found` or `forbidden`; a repo that may not be read is refused like one that does not exist.
    fn prove(caller: Caller, repo: Option<&Arc<Repo>>) -> Result<Self>;
}

impl<D: Duty> Credential for Permit<D> {
    const ACCESS: Access = Access::Repo(D::ROLE);

    fn prove(caller: Caller, repo: Option<&Arc<Repo>>) -> Result<Permit<D>> {
        match repo {
            Some(repo) => caller.permit(repo),
            None if caller.is_authenticated() => Err(no_such_repo()),
            None => Err(unauthorized()),
        }
    }
}

impl Credential for Operator {
    const ACCESS: Access = Access::Operator;

    fn prove(caller: Caller, _repo: Option<&Arc<Repo>>) -> Result<Operator> {
        Operator::new(caller)
    }
}

impl Credential for Signed {
    const ACCESS: Access = Access::Signed;

    fn prove(caller: Caller, _repo: Option<&Arc<Repo>>) -> Result<Signed> {
        Signed::new(caller)
    }
}

impl Credential for Caller {
    const ACCESS: Access = Access::Anyone;

    fn prove(caller: Caller, _repo: Option<&Arc<Repo>>) -> Result<Caller> {
        Ok(caller)
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;
type Handler<A> = Arc<dyn Fn(Arc<A>, Option<Arc<Repo>>, Request) -> Answer + Send + Sync>;

/// One route: a verb at a pattern, and the handler behind it.
pub struct Route<A> {
    method: Method,
    pattern: &'static str,
    example: &'static str,
    access: Access,
    dialect: Option<Dialect>,
    handler: Handler<A>,
}

impl<A> Route<A> {
    /// The verb. A GET answers HEAD too.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The pattern, such as `/v1/repos/{repoKey}`; `{*rest}` at the end takes one or more segments.
    #[must_use]
    pub fn pattern(&self) -> &'static str {
        self.pattern
    }

    /// An address that reaches this route, for tests that call every route.
    #[must_use]
    pub fn example(&self) -> &'static str {
        self.example
    }

    /// Who may call it: read off the handler's signature.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// How it words refusals.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect.unwrap_or(fail::json)
    }

    /// Proves the right of the request's caller and runs the handler.
    pub(super) fn call(&self, app: Arc<A>, repo: Option<Arc<Repo>>, request: Request) -> Answer {
        (self.handler)(app, repo, request)
    }

    /// What is wrong with the route itself, if anything.
    pub(super) fn fault(&self) -> Option<String> {
        let named = self.pattern.contains(&format!("{{{REPO_PARAM}}}"));
        match self.access {
            Access::Repo(role) if !named => Some(format!("its handler takes the role {role}, but the pattern has no {{{REPO_PARAM}}}")),
            Access::Repo(_) | Access::Operator | Access::Signed | Access::Anyone if !self.example.starts_with('/') => {
                Some("its example is no address".to_owned())
            }
            Access::Repo(_) | Access::Operator | Access::Signed | Access::Anyone => None,
        }
    }
}

impl<A> std::fmt::Debug for Route<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.method, self.pattern, self.access.as_str())
    }
}

/// A group of routes, built in the room of their handlers and joined in the one table.
pub struct Routes<A> {
    routes: Vec<Route<A>>,
}

impl<A> Default for Routes<A> {
    fn default() -> Routes<A> {
        Routes { routes: Vec::new() }
    }
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident $method:ident;)+) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name<P, F, R>(self, pattern: &'static str, example: &'static str, handler: F) -> Routes<A>
        where
            P: Credential,
            F: Fn(Arc<A>, P, Request) -> R + Send + Sync + 'static,
            R: Future<Output = Result<Reply>> + Send + 'static,
        {
            self.on(Method::$method, pattern, example, handler)
        }
    )+};
}

impl<A: Send + Sync + 'static> Routes<A> {
    /// No routes yet.
    #[must_use]
    pub fn new() -> Routes<A> {
        Routes::default()
    }

    verbs! {
        /// Adds a GET, which answers HEAD too. `example` is an address that reaches it; see `Route`.
        get GET;
        /// Adds a HEAD of its own, in place of the one that comes with a GET.
        head HEAD;
        /// Adds a PUT.
        put PUT;
        /// Adds a POST.
        post POST;
        /// Adds a PATCH.
        patch PATCH;
        /// Adds a DELETE.
        delete DELETE;
    }

    /// Adds a route for any verb. What is wrong with it is reported by `Router::new`.
    #[must_use]
    pub fn on<P, F, R>(mut self, method: Method, pattern: &'static str, example: &'static str, handler: F) -> Routes<A>
    where
        P: Credential,
        F: Fn(Arc<A>, P, Request) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Reply>> + Send + 'static,
    {
        let handler: Handler<A> = Arc::new(move |app, repo, request| match P::prove(request.caller().clone(), repo.as_ref()) {
            Ok(proof) => Box::pin(handler(app, proof, request)),
            Err(refusal) => Box::pin(std::future::ready(Err(refusal))),
        });
        self.routes.push(Route { method, pattern, example, access: P::ACCESS, dialect: None, handler });
        self
    }

    /// Gives this dialect to every route of the group that has none yet.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Routes<A> {
        for route in &mut self.routes {
            route.dialect.get_or_insert(dialect);
        }
        self
    }

    /// Adds the routes of another group.
    #[must_use]
    pub fn join(mut self, other: Routes<A>) -> Routes<A> {
        self.routes.extend(other.routes);
        self
    }
}

impl<A> Routes<A> {
    /// Every route, in the order in which they were added.
    pub fn iter(&self) -> std::slice::Iter<'_, Route<A>> {
        self.routes.iter()
    }

    /// The route that was added as number `index`, counted from 0.
    pub(super) fn at(&self, index: usize) -> Option<&Route<A>> {
        self.routes.get(index)
    }
}

impl<'a, A> IntoIterator for &'a Routes<A> {
    type Item = &'a Route<A>;
    type IntoIter = std::slice::Iter<'a, Route<A>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<A> std::fmt::Debug for Routes<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.routes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::{Admin, Read};

    struct App;

    async fn browse(_app: Arc<App>, _permit: Permit<Read>, _request: Request) -> Result<Reply> {
        Ok(Reply::no_content())
    }

    async fn configure(_app: Arc<App>, _permit: Permit<Admin>, _request: Request) -> Result<Reply> {
        Ok(Reply::no_content())
    }

    async fn operate(_app: Arc<App>, _operator: Operator, _request: Request) -> Result<Reply> {
        Ok(Reply::no_content())
    }

    async fn ping(_app: Arc<App>, _caller: Caller, _request: Request) -> Result<Reply> {
        Ok(Reply::no_content())
    }

    #[test]
    fn the_access_of_a_route_is_read_off_its_handler() {
        let routes = Routes::new()
            .get("/r/{repoKey}", "/r/main", browse)
            .patch("/r/{repoKey}", "/r/main", configure)
            .post("/gc", "/gc", operate)
            .get("/ping", "/ping", ping);
        let table: Vec<String> = routes.iter().map(|route| format!("{route:?}")).collect();
        assert_eq!(table, ["GET /r/{repoKey} (read)", "PATCH /r/{repoKey} (admin)", "POST /gc (operator)", "GET /ping (anyone)"]);
        assert!(routes.iter().all(|route| route.fault().is_none()));
    }

    #[test]
    fn a_role_without_a_repo_in_the_pattern_is_a_fault() {
        let routes = Routes::new().get("/r/{key}", "/r/main", browse);
        assert!(routes.iter().next().unwrap().fault().unwrap().contains("{repoKey}"));
    }
}
