// Every member of svctoken.hpp, used at least once, against a sandbox named by MONGODB_ATLAS_BASE_URL.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>
#include <type_traits>

#include "svctoken.hpp"

using namespace std::chrono_literals;

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                                 \
        }                                                                                 \
    } while (0)

// The error that `call` throws.
template <typename Call>
svctoken::Error error_of(Call call) {
    try {
        call();
    } catch (const svctoken::Error &error) {
        return error;
    }
    std::fprintf(stderr, "nothing was thrown\n");
    std::exit(1);
}

static void configurations() {
    const std::string base = std::getenv("MONGODB_ATLAS_BASE_URL");
    svctoken::Config all;
    all.client_id("id").client_secret("secret").token_url(base + "/token").issuer(base).revocation_url(base + "/revoke").introspection_url(base + "/i").base_url(base).allowed_origin(base);
    all.auth_method("client_secret_basic").auth_encoding("form").scope("a b").audience("c").resource("https://d.example");
    all.extra_param("name", "value").timeout(1s).connect_timeout(1s).token_timeout(1s).cache("memory");
    all.accept("application/json").user_agent("test/1").header("X-Test", "1").max_attempts(2).mint_budget(5);
    all.max_response_bytes(1000).allow_http(true);
    const svctoken::Client plain(all);

    svctoken::Config ready;
    CHECK(svctoken::Client(ready.access_token("ready-token").base_url(base)).get_token() == "ready-token");

    svctoken::Config files;
    files.client_secret_file("/nowhere/secret").client_id("id").token_url(base);
    CHECK(error_of([&] { svctoken::Client client(files); }).code() == SVCTOKEN_CREDENTIAL_UNAVAILABLE);
    svctoken::Config command;
    command.client_secret_command("svctoken-no-such-program").client_secret_command("read").client_id("id").token_url(base);
    CHECK(error_of([&] { svctoken::Client(command).get_token(); }).code() == SVCTOKEN_CREDENTIAL_UNAVAILABLE);
    svctoken::Config callback;
    callback.client_id("app").client_secret_callback([] { return std::string("app-secret-app-secret-app-secret"); });
    CHECK(svctoken::Client::keycloak(base, "demo", callback).get_token().size() > 30);
    for (const bool has_words : {true, false}) {
        callback.client_secret_callback([has_words]() -> std::string {
            if (has_words) throw std::runtime_error("the vault is sealed");
            throw 42;
        });
        const svctoken::Error thrown = error_of([&] { svctoken::Client::keycloak(base, "demo", callback).get_token(); });
        CHECK(thrown.code() == SVCTOKEN_CREDENTIAL_UNAVAILABLE);
        const char *why = has_words ? "the vault is sealed" : "no std::exception";
        CHECK(std::string(thrown.what()).find(why) != std::string::npos);
    }
    callback.client_secret_callback([] { return std::string("se\0cret", 7); }).client_secret_2("another secret");
    const svctoken::Error both = error_of([&] { svctoken::Client::keycloak(base, "demo", callback).get_token(); });
    CHECK(both.code() == SVCTOKEN_CREDENTIAL_UNAVAILABLE && std::string(both.what()).find("NUL") != std::string::npos);
    callback.client_secret_callback(nullptr);
    CHECK(error_of([&] { svctoken::Client client(callback); }).code() == SVCTOKEN_INVALID_CONFIGURATION);
    svctoken::Config ca;
    ca.ca_file("/nowhere/ca.pem").client_id("id").client_secret("secret").token_url(base);
    CHECK(error_of([&] { svctoken::Client client(ca); }).code() == SVCTOKEN_INVALID_CONFIGURATION);

    svctoken::Config negative;
    const svctoken::Error error = error_of([&] { svctoken::Client client(negative.timeout(-1ms)); });
    CHECK(error.code() == SVCTOKEN_INVALID_CONFIGURATION && error.name() == "invalid_configuration");
    CHECK(std::string(error.what()).find("timeout") != std::string::npos && error.stage() == "configuration");
    CHECK(std::string(error.what()).find(error.next_step()) != std::string::npos);
    CHECK(!error.status() && !error.oauth_error() && !error.oauth_error_description() && !error.api_error_code() && !error.retry_after());

    // Cut at its NUL, the secret would be another one.
    svctoken::Config cut;
    cut.client_secret(std::string("se\0cret", 7));
    const svctoken::Error nul = error_of([&] { svctoken::Client client(cut); });
    CHECK(std::string(nul.what()).find("client_secret") != std::string::npos);

    const svctoken::Client keycloak = svctoken::Client::keycloak(base, "demo", all);
    const svctoken::Config app = svctoken::Config().client_id("app").client_secret("app-secret-app-secret-app-secret");
    const svctoken::Client demo = svctoken::Client::keycloak(base, "demo", app);
    CHECK(demo.introspect().find("\"active\":true") != std::string::npos);
    CHECK(demo.introspect(svctoken::Options().timeout(30s)) == demo.introspect(demo.get_token()));
    CHECK(demo.introspect("another", svctoken::Options()) == "{\"active\":false}");
    const svctoken::Client discovered = svctoken::Client::issuer(base + "/realms/demo", app);
    CHECK(discovered.get_token().size() > 100);
    const svctoken::Client from_env = svctoken::Client::from_env();
    CHECK(from_env.get_token().size() > 100);
}

static void tokens(const svctoken::Client &client) {
    const std::string token = client.get_token();
    CHECK(token == client.get_token(svctoken::Options().timeout(30s)));
    const svctoken::TokenInfo info = client.get_token_info();
    CHECK(info.token == token && info.token_type == "Bearer" && !info.scope);
    CHECK(info.expires_in > 3500s && info.expires_in <= 3600s);
    CHECK(info.expires_at > std::chrono::system_clock::now() + 3000s);
    CHECK(client.get_token_info(svctoken::Options()).token == token);
    CHECK(client.invalidate_token(token) && !client.invalidate_token(token));
    svctoken::testing::advance_clock(1ms);
    const std::string next = client.get_token();
    CHECK(next != token);
    CHECK(client.revoke() && !client.revoke(svctoken::Options().timeout(30s)));
    const std::string third = client.get_token();
    client.clear_cache();
    CHECK(third != next && client.get_token() != third);
    CHECK(svctoken::version() == SVCTOKEN_VERSION);
}

static void log_events() {
    auto kept = std::make_shared<std::vector<std::string>>();
    const std::weak_ptr<std::vector<std::string>> watched = kept;
    {
        svctoken::Config config;
        config.access_token("ready-token").base_url(std::getenv("MONGODB_ATLAS_BASE_URL"));
        config.on_log([kept = std::move(kept)](const svctoken::LogEvent &event) {
            CHECK(event.severity() == SVCTOKEN_LOG_WARNING && !event.message().empty());
            kept->push_back(event.name());
            throw std::runtime_error("the host's own mistake");
        });
        const svctoken::Client client(config);
        CHECK(client.invalidate_token("ready-token"));
        CHECK(watched.lock()->size() == 1 && watched.lock()->front() == "token_condemned");
        config.on_log(nullptr);
        CHECK(!watched.expired());
    }
    CHECK(watched.expired());

    std::vector<std::pair<std::string, std::string>> fields;
    svctoken::Config config;
    config.scope("other").on_log([&fields](const svctoken::LogEvent &event) {
        if (event.name() == "token_received") fields = event.fields();
    });
    svctoken::Client::atlas(config).get_token();
    CHECK(fields.size() == 3 && fields[1] == std::make_pair(std::string("lifetime_ms"), std::string("3600000")));
}

static void uploads(const svctoken::Client &client) {
    std::istringstream stream("skipped from here");
    stream.seekg(8);
    auto response = client.request("PUT", "/echo", svctoken::Options().body_from(stream).header("Content-Type", "text/x-s"));
    CHECK(response.text().find("\"from here\"") != std::string::npos && response.text().find("text/x-s") != std::string::npos);

    for (const bool throws : {false, true}) {
        std::istringstream whole("12345");
        if (throws) whole.exceptions(std::ios::failbit | std::ios::badbit);
        svctoken::Options options;
        options.body_from(whole);
        response = client.request("PUT", "/echo", options);
        CHECK(response.text().find("\"12345\"") != std::string::npos);
        CHECK(response.text().find("[\"content-length\",\"5\"]") != std::string::npos);
        // Read to its end, it is no body any more.
        CHECK(error_of([&] { client.request("PUT", "/echo", options); }).code() == SVCTOKEN_INVALID_ARGUMENT);
    }
    std::ifstream missing("/nowhere/file");
    bool failed = false;
    try {
        client.request("PUT", "/echo", svctoken::Options().body_from(missing));
    } catch (const std::ios_base::failure &) {
        failed = true;
    }
    CHECK(failed);

    svctoken::Options moved_from;
    const svctoken::Options moved = std::move(moved_from);
    moved_from.json("{\"moved\":true}");
    CHECK(client.request("PUT", "/echo", moved_from).text().find("moved") != std::string::npos);

    int begun = 0;
    bool done = false;
    const auto read = [&done](char *buffer, std::size_t size) -> std::size_t {
        if (done || size < 3) return 0;
        done = true;
        buffer[0] = 'a', buffer[1] = 'b', buffer[2] = 'c';
        return 3;
    };
    const auto rewind = [&] { return done = false, ++begun > 0; };
    response = client.request("PUT", "/echo", svctoken::Options().body_from(read, 3, rewind));
    CHECK(response.text().find("\"abc\"") != std::string::npos && begun == 0);

    struct Mine {};
    bool caught = false;
    try {
        client.request("PUT", "/echo", svctoken::Options().body_from([](char *, std::size_t) -> std::size_t { throw Mine(); }));
    } catch (const Mine &) {
        caught = true;
    }
    CHECK(caught);
    caught = false;
    try {
        client.request_stream("PUT", "/echo",
                              svctoken::Options().body_from([](char *, std::size_t) -> std::size_t { throw Mine(); }));
    } catch (const Mine &) {
        caught = true;
    }
    CHECK(caught && client.request("GET", "/echo").ok());
    CHECK(error_of([&] { client.request("PUT", "/echo", svctoken::Options().body_from(nullptr)); }).code() ==
          SVCTOKEN_INVALID_ARGUMENT);
    CHECK(error_of([&] { client.request("PUT", "/echo", svctoken::Options().body_file("/nowhere/file")); }).code() ==
          SVCTOKEN_INVALID_ARGUMENT);

    const std::string path = "svctoken-members-" + std::to_string(std::rand()) + ".txt";
    std::ofstream(path) << "in a file";
    response = client.request("PUT", "/echo", svctoken::Options().body_file(path, "text/x-f"));
    CHECK(response.text().find("text/x-f") != std::string::npos && response.text().find("\"in a file\"") != std::string::npos);
    CHECK(client.request("PUT", "/echo", svctoken::Options().body_file(path)).ok());
    std::remove(path.c_str());
}

static void downloads(const svctoken::Client &client) {
    const std::string path = "svctoken-members-" + std::to_string(std::rand()) + ".bin";
    std::uint64_t last = 0;
    svctoken::Options options;
    options.on_progress([&last](std::uint64_t received, std::optional<std::uint64_t> total) {
        CHECK(total == 1000);
        last = received;
    });
    CHECK(client.download("GET", "/bytes/1000", path, options).status() == 200 && last == 1000);
    CHECK(client.download("GET", "/bytes/7", path).body().empty());
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    CHECK(file.tellg() == 7);
    struct Mine {};
    bool caught = false;
    try {
        client.download("GET", "/bytes/1000", path, options.on_progress([](auto, auto) { throw Mine(); }));
    } catch (const Mine &) {
        caught = true;
    }
    CHECK(caught && client.download("GET", "/bytes/8", path, options.on_progress(nullptr)).ok());
    std::remove(path.c_str());
}

static void requests(const svctoken::Client &client) {
    downloads(client);
    svctoken::Response response = client.request("GET", "/api/atlas/v2/groups");
    CHECK(response.status() == 200 && response.ok() && response.attempts() == 1);
    CHECK(response.text() == response.body() && response.text().find("\"totalCount\":3") != std::string::npos);
    CHECK(response.header("Content-Length") == std::to_string(response.body().size()) && !response.header("x-none"));
    bool found = false;
    for (const auto &[name, value] : response.headers()) found = found || (name == "content-length" && !value.empty());
    CHECK(found && response.url().find("/api/atlas/v2/groups") != std::string::npos);
    response.raise_for_status();

    svctoken::Options options;
    options.query("q", "x").header("X-Test", "y").accept("application/x-test").max_response_bytes(100000);
    options.max_attempts(2).idempotent();
    response = client.request("POST", "/echo", options.json("{\"k\":1}"));
    CHECK(response.text().find("application/json") != std::string::npos);
    response = client.request("POST", "/echo", svctoken::Options().body("plain bytes"));
    CHECK(response.text().find("plain bytes") != std::string::npos);
    uploads(client);
    response = client.request("POST", "/echo", svctoken::Options().body("typed", "text/x-test"));
    CHECK(response.text().find("text/x-test") != std::string::npos);
    const std::string cut("text/plain\0x", 12);
    CHECK(error_of([&] { client.request("POST", "/echo", svctoken::Options().body("", cut)); }).code() ==
          SVCTOKEN_INVALID_ARGUMENT);

    svctoken::StreamingResponse stream = client.request_stream("GET", "/bytes/1000");
    char piece[600];
    std::size_t length = 0, total = 0;
    while ((length = stream.read(piece, sizeof piece)) > 0) total += length;
    CHECK(stream.status() == 200 && total == 1000);
    stream = client.request_stream("GET", "/bytes/1000", svctoken::Options().idle_timeout(30s).max_response_bytes(2000));
    CHECK(stream.read(piece, 1) == 1 && piece[0] == 0);
    CHECK(error_of([&] { client.request_stream("GET", "/", svctoken::Options().idle_timeout(0s)); }).code() ==
          SVCTOKEN_INVALID_ARGUMENT);

    response = client.request("GET", "/api/atlas/v2/limited", svctoken::Options().max_attempts(1));
    const svctoken::Error error = error_of([&] { response.raise_for_status(); });
    CHECK(error.code() == SVCTOKEN_HTTP_STATUS && error.status() == 429u && error.retry_after());

    std::string page_texts;
    for (const svctoken::Response &page : client.pages("/api/atlas/v2/groups", svctoken::Options().query("itemsPerPage", "2"))) {
        page_texts += page.text() + '\n';
    }
    CHECK(page_texts.find("project-1") < page_texts.find('\n') && page_texts.find("project-3") > page_texts.find('\n'));
    svctoken::Pages pages = client.pages("/api/atlas/v2/groups");
    svctoken::Pages::iterator page = pages.begin();
    CHECK(page != pages.end() && page->status() == 200 && ++page == pages.end());
    CHECK(error_of([&] { client.pages("/echo", svctoken::Options().max_pages(0)); }).code() == SVCTOKEN_INVALID_ARGUMENT);

    const svctoken::CancelToken cancel;
    std::thread other([cancel] { cancel.cancel(); });
    other.join();
    CHECK(error_of([&] { client.request("GET", "/echo", svctoken::Options().cancel(cancel)); }).code() ==
          SVCTOKEN_CANCELLED);
    CHECK(client.stats().at("requests") >= 5);
}

int main() {
    static_assert(!std::is_copy_constructible_v<svctoken::Client> && std::is_nothrow_move_constructible_v<svctoken::Client>);
    static_assert(std::is_nothrow_copy_constructible_v<svctoken::Error>);
    configurations();
    log_events();
    svctoken::Client client = svctoken::Client::atlas();
    const svctoken::Client moved = std::move(client);
    tokens(moved);
    requests(moved);
    try {
        svctoken::testing::advance_clock(-1ms);
        return 1;
    } catch (const std::invalid_argument &) {
        return 0;
    }
}
