//! Every route, with its handler. What is not listed here is answered by [`Routes::finish`]: a path that
//! only differs by a slash at its end is redirected, a route of Prefect's that is not offered says so with
//! 501, anything else is 404 or 405.

use crate::door::{Door, base_url};
use crate::query::with_other_slash;
use crate::reply;
use crate::routes::{
    automations, block_documents, block_schemas, block_types, cloud_events, event_pages, events, firings,
    letters, meta, metrics, notify_test, openapi, status, templates,
};
use crate::websocket::{events_in, events_out};
use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::header::{HeaderValue, LOCATION};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{MethodFilter, any, on};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Prefect's routes below `/api`, one a line: method and path.
const PREFECT_ROUTES: &str = include_str!("routes/prefect_routes.txt");

/// All routes over a door.
pub fn router(door: Arc<Door>) -> Router {
    served().finish().with_state(door)
}

/// Routes that are offered.
pub(crate) struct Routes {
    router: Router<Arc<Door>>,
    /// Method and path of each.
    pub(crate) listed: BTreeSet<(String, String)>,
}

/// The routes that this server offers.
pub(crate) fn served() -> Routes {
    let routes = Routes { router: Router::new(), listed: BTreeSet::new() };
    ours(prefects(routes))
}

fn prefects(routes: Routes) -> Routes {
    routes
        .get("/api/health", meta::health)
        .get("/api/ready", meta::ready)
        .get("/api/hello", meta::hello)
        .get("/api/version", meta::api_version)
        .get("/api/admin/version", meta::prefect_version)
        .get("/api/csrf-token", meta::csrf_token)
        .get("/api/openapi.json", openapi::document)
        .post("/api/events", events::create)
        .post("/api/events/filter", event_pages::filter)
        .get("/api/events/filter/next", event_pages::next)
        .post("/api/events/count-by/{countable}", event_pages::count_by)
        .get("/api/events/in", events_in::route)
        .get("/api/events/out", events_out::route)
        .post("/api/automations/", automations::create)
        .get("/api/automations/{id}", automations::read)
        .put("/api/automations/{id}", automations::update)
        .patch("/api/automations/{id}", automations::patch)
        .delete("/api/automations/{id}", automations::delete)
        .post("/api/automations/filter", automations::filter)
        .post("/api/automations/count", automations::count)
        .get("/api/automations/related-to/{resource_id}", automations::related_to)
        .delete("/api/automations/owned-by/{resource_id}", automations::delete_owned_by)
        .post("/api/templates/validate", templates::validate)
        .post("/api/automations/templates/validate", templates::validate)
        .post("/api/block_types/", block_types::create)
        .get("/api/block_types/{id}", block_types::read)
        .patch("/api/block_types/{id}", block_types::update)
        .delete("/api/block_types/{id}", block_types::delete)
        .post("/api/block_types/filter", block_types::filter)
        .get("/api/block_types/slug/{slug}", block_types::read_by_slug)
        .get("/api/block_types/slug/{slug}/block_documents", block_types::documents)
        .get("/api/block_types/slug/{slug}/block_documents/name/{block_document_name}", block_types::document)
        .post("/api/block_types/install_system_block_types", block_types::install)
        .post("/api/block_schemas/", block_schemas::create)
        .get("/api/block_schemas/{id}", block_schemas::read)
        .delete("/api/block_schemas/{id}", block_schemas::delete)
        .post("/api/block_schemas/filter", block_schemas::filter)
        .get("/api/block_schemas/checksum/{checksum}", block_schemas::read_by_checksum)
        .get("/api/block_capabilities/", block_schemas::capabilities)
        .post("/api/block_documents/", block_documents::create)
        .get("/api/block_documents/{id}", block_documents::read)
        .patch("/api/block_documents/{id}", block_documents::update)
        .delete("/api/block_documents/{id}", block_documents::delete)
        .post("/api/block_documents/filter", block_documents::filter)
        .post("/api/block_documents/count", block_documents::count)
}

fn ours(routes: Routes) -> Routes {
    routes
        .get("/metrics", metrics::metrics)
        .post("/api/cloudevents", cloud_events::create)
        .get("/api/pavlov/version", meta::pavlov_version)
        .get("/api/pavlov/status", status::status)
        .get("/api/pavlov/actions", letters::actions)
        .get("/api/pavlov/dead-letters", letters::dead_letters)
        .post("/api/pavlov/dead-letters/redrive", letters::redrive)
        .post("/api/pavlov/dead-letters/discard", letters::discard)
        .get("/api/pavlov/firings", firings::list)
        .get("/api/pavlov/firings/{id}", firings::read)
        .post("/api/pavlov/notify/test", notify_test::send)
}

impl Routes {
    fn on<H, T>(mut self, method: &Method, path: &str, handler: H) -> Self
    where
        H: Handler<T, Arc<Door>>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("the table has plain methods only");
        self.router = self.router.route(path, on(filter, handler));
        self.listed.insert((method.to_string(), path.to_owned()));
        self
    }

    fn get<H: Handler<T, Arc<Door>>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.on(&Method::GET, path, handler)
    }

    fn post<H: Handler<T, Arc<Door>>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.on(&Method::POST, path, handler)
    }

    fn put<H: Handler<T, Arc<Door>>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.on(&Method::PUT, path, handler)
    }

    fn patch<H: Handler<T, Arc<Door>>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.on(&Method::PATCH, path, handler)
    }

    fn delete<H: Handler<T, Arc<Door>>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.on(&Method::DELETE, path, handler)
    }

    /// Adds what answers all other requests.
    fn finish(mut self) -> Router<Arc<Door>> {
        for (method, path) in prefect_routes() {
            if !self.listed.contains(&(method.clone(), path.clone())) {
                let method = Method::try_from(method.as_str()).expect("the table has plain methods only");
                self = self.on(&method, &path, not_offered);
            }
        }
        let paths: BTreeSet<String> = self.listed.into_iter().map(|(_, path)| path).collect();
        let mut router = self.router;
        for path in &paths {
            let other = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
            if !paths.contains(&other) {
                router = router.route(&other, any(redirect));
            }
        }
        router.fallback(not_found).method_not_allowed_fallback(method_not_allowed)
    }
}

/// Method and whole path of each of Prefect's routes.
pub(crate) fn prefect_routes() -> impl Iterator<Item = (String, String)> {
    let lines = PREFECT_ROUTES.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(method, path)| (method.to_owned(), format!("/api{path}")))
}

async fn not_offered(request: Request) -> Response {
    let route = format!("{} {}", request.method(), request.uri().path());
    let message = format!("{route} is a route of Prefect's that this server does not offer");
    reply::exception(StatusCode::NOT_IMPLEMENTED, message)
}

async fn redirect(request: Request) -> Response {
    let target = format!("{}{}", base_url(request.headers()), with_other_slash(request.uri()));
    let mut response = Response::default();
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(target) = HeaderValue::from_str(&target) {
        response.headers_mut().insert(LOCATION, target);
    }
    response
}

async fn not_found() -> Response {
    reply::not_found()
}

async fn method_not_allowed() -> Response {
    reply::detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_built_and_whole_subjects_of_prefects_are_served() {
        let served = served();
        let subjects = ["/api/events", "/api/automations/", "/api/templates/", "/api/block_"];
        for (method, path) in prefect_routes() {
            let whole = subjects.iter().any(|subject| path.starts_with(subject));
            let listed = served.listed.contains(&(method.clone(), path.clone()));
            assert!(listed || !whole, "{method} {path} is not served");
        }
        drop(served.finish());
    }
}
