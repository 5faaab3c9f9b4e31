// svctoken for C++17: the C library behind classes that free what they hold. Header-only; link with -lsvctoken.
//
//     auto client = svctoken::Client::atlas();
//     auto r = client.request("GET", "/api/atlas/v2/groups", svctoken::Options().query("itemsPerPage", "100"));
//     std::cout << r.status() << ' ' << r.text() << '\n';
//
// ERRORS. What fails throws svctoken::Error, and nothing has changed then. Destructors and what is marked noexcept
// never throw. Setters of Config and Options do not throw what is wrong with a value: the client's constructor and the
// call do, naming it.
//
// OWNERSHIP. Client and Response move and do not copy; a moved-from object may only be assigned to or destroyed.
// Config, Options and CancelToken copies share one state, and are copied where they are moved. What is returned by value is the caller's; a string_view is
// borrowed from its object.
//
// THREADS. Const members may be called by several threads at once, above all a Client's: make one and keep it.
//
// A text with a NUL inside, which C cannot be handed, is refused as a missing text would be.
#ifndef SVCTOKEN_HPP
#define SVCTOKEN_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <ios>
#include <istream>
#include <iterator>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "svctoken.h"

namespace svctoken {

namespace detail {

template <typename T, void (*release)(T *)>
struct Release {
    void operator()(T *handle) const noexcept { release(handle); }
};

template <typename T, void (*release)(T *)>
using Handle = std::unique_ptr<T, Release<T, release>>;

inline const char *c_text(const std::string &text) noexcept {
    return text.find('\0') == std::string::npos ? text.c_str() : nullptr;
}

inline std::optional<std::string> optional_text(const char *text) {
    return text == nullptr ? std::nullopt : std::optional<std::string>(text);
}

template <typename T>
T *made(T *handle) {
    if (handle == nullptr) throw std::bad_alloc();
    return handle;
}

} // namespace detail

// Why something failed. what() says what happened and what to do about it.
class Error : public std::runtime_error {
public:
    // Takes the error of the C library over.
    explicit Error(svctoken_error *error) : Error(std::shared_ptr<svctoken_error>(error, svctoken_error_free)) {}

    // One of the SVCTOKEN_ constants.
    svctoken_code code() const noexcept { return svctoken_error_code(error_.get()); }
    // The code's name, such as "token_limit".
    std::string name() const { return text(svctoken_error_name(error_.get())); }
    // At which step it happened, such as "connecting".
    std::string stage() const { return text(svctoken_error_stage(error_.get())); }
    // What to do about it.
    std::string next_step() const { return text(svctoken_error_next_step(error_.get())); }
    // The HTTP status of the answer that was the failure, if there was one.
    std::optional<unsigned> status() const noexcept {
        const unsigned status = svctoken_error_status(error_.get());
        return status == 0 ? std::nullopt : std::optional<unsigned>(status);
    }
    // The answer's OAuth error code (RFC 6749 section 5.2), if there was one.
    std::optional<std::string> oauth_error() const {
        return detail::optional_text(svctoken_error_oauth_error(error_.get()));
    }
    // The server's description, if there was one.
    std::optional<std::string> oauth_error_description() const {
        return detail::optional_text(svctoken_error_oauth_error_description(error_.get()));
    }
    // The code that the API's answer has for the error, such as Atlas's "GROUP_NOT_FOUND", if there was one. See
    // svctoken_error_api_error_code.
    std::optional<std::string> api_error_code() const {
        return detail::optional_text(svctoken_error_api_error_code(error_.get()));
    }
    // How long to wait before trying again, if that is known.
    std::optional<std::chrono::milliseconds> retry_after() const noexcept {
        const std::int64_t wait = svctoken_error_retry_after_ms(error_.get());
        return wait < 0 ? std::nullopt : std::optional<std::chrono::milliseconds>(wait);
    }

private:
    explicit Error(std::shared_ptr<svctoken_error> error)
        : std::runtime_error(text(svctoken_error_message(error.get()))), error_(std::move(error)) {}

    static std::string text(const char *text) { return text == nullptr ? std::string() : std::string(text); }

    // Shared, because an exception must be copied without throwing.
    std::shared_ptr<svctoken_error> error_;
};

namespace detail {

// Takes the last argument of a C function and throws what comes back by it.
class Check {
public:
    Check() = default;
    Check(const Check &) = delete;
    Check &operator=(const Check &) = delete;
    ~Check() { svctoken_error_free(error_); }

    operator svctoken_error **() noexcept { return &error_; }
    void operator()(svctoken_code code) {
        if (code != SVCTOKEN_OK) throw Error(std::exchange(error_, nullptr));
    }

private:
    svctoken_error *error_ = nullptr;
};

// What a function of the caller's has thrown waits, on the thread of its call, for the call's end.
inline std::exception_ptr &thrown() {
    static thread_local std::exception_ptr thrown;
    return thrown;
}

inline void rethrow() {
    if (thrown()) std::rethrow_exception(std::exchange(thrown(), nullptr));
}

// A function that is told of a download's progress.
struct Progress {
    std::function<void(std::uint64_t, std::optional<std::uint64_t>)> callback;

    static bool tell(void *progress, std::uint64_t received, std::int64_t total) noexcept {
        try {
            const auto known = total < 0 ? std::nullopt : std::optional<std::uint64_t>(total);
            static_cast<Progress *>(progress)->callback(received, known);
            return true;
        } catch (...) {
            thrown() = std::current_exception();
            return false;
        }
    }
    static void release(void *progress) noexcept { delete static_cast<Progress *>(progress); }
};

// A body that C++ code gives while it is sent.
struct Body {
    std::function<std::size_t(char *, std::size_t)> read;
    std::function<bool()> rewind;

    static std::int64_t read_some(void *body, void *buffer, std::size_t size) noexcept {
        try {
            return static_cast<std::int64_t>(static_cast<Body *>(body)->read(static_cast<char *>(buffer), size));
        } catch (...) {
            thrown() = std::current_exception();
            return -1;
        }
    }
    static bool begin_anew(void *body) noexcept {
        try {
            return static_cast<Body *>(body)->rewind();
        } catch (...) {
            return false;
        }
    }
    static void release(void *body) noexcept { delete static_cast<Body *>(body); }
};

} // namespace detail

// Ends calls early, from another thread or a signal handler.
class CancelToken {
public:
    CancelToken() : cancel_(detail::made(svctoken_cancel_new()), svctoken_cancel_free) {}
    // Without moves: what is moved from is copied, and never empty.
    CancelToken(const CancelToken &) = default;
    CancelToken &operator=(const CancelToken &) = default;

    // Ends every call whose options hold this token, now and later, with SVCTOKEN_CANCELLED. A signal handler may call
    // it, as long as the object lives.
    void cancel() const noexcept { svctoken_cancel_trigger(cancel_.get()); }

private:
    friend class Options;
    std::shared_ptr<svctoken_cancel> cancel_;
};

// Something worth a log line, without a secret or a token in it; lent to a callback until that returns.
class LogEvent {
public:
    LogEvent(const LogEvent &) = delete;
    LogEvent &operator=(const LogEvent &) = delete;

    // One of the SVCTOKEN_LOG_ constants; the larger, the more it matters.
    svctoken_log_severity severity() const noexcept { return svctoken_log_event_severity(event_); }
    // What kind of event it is, such as "token_received".
    std::string name() const { return svctoken_log_event_name(event_); }
    // A sentence for people.
    std::string message() const { return svctoken_log_event_message(event_); }
    // The sentence's facts by name, in order. Times are whole milliseconds, and their names end in "_ms".
    std::vector<std::pair<std::string, std::string>> fields() const {
        std::vector<std::pair<std::string, std::string>> fields;
        const char *name = nullptr;
        const char *text = nullptr;
        for (std::size_t i = 0; svctoken_log_event_field_at(event_, i, &name, &text); i++) {
            fields.emplace_back(name, text);
        }
        return fields;
    }

private:
    friend class Config;
    explicit LogEvent(const svctoken_log_event *event) noexcept : event_(event) {}
    const svctoken_log_event *event_;
};

// Options of a client; svctoken.h documents each, with its default.
class Config {
public:
    using milliseconds = std::chrono::milliseconds;

    Config() : config_(detail::made(svctoken_config_new()), svctoken_config_free) {}
    // Without moves: what is moved from is copied, and never empty.
    Config(const Config &) = default;
    Config &operator=(const Config &) = default;

    Config &client_id(const std::string &text) { return set(svctoken_config_set_client_id, text); }
    Config &client_secret(const std::string &text) { return set(svctoken_config_set_client_secret, text); }
    Config &client_secret_file(const std::string &text) { return set(svctoken_config_set_client_secret_file, text); }
    // Adds one: the program first, then each of its arguments.
    Config &client_secret_command(const std::string &text) {
        return set(svctoken_config_add_client_secret_command, text);
    }
    // What `callback` throws says why it has no secret: a std::exception's what() becomes part of the error's message. It
    // is called on a thread of the library's own, and must not use a client of this config. It is destroyed when it will
    // not be called any more, maybe a moment after its clients, on the library's own thread.
    Config &client_secret_callback(std::function<std::string()> callback) {
        auto owned = callback ? std::make_unique<SecretCallback>(std::move(callback)) : nullptr;
        const auto set = svctoken_config_set_client_secret_callback;
        if (set(config_.get(), owned ? secret : nullptr, owned.get(), release_secret) == SVCTOKEN_OK) owned.release();
        return *this;
    }
    Config &client_secret_2(const std::string &text) { return set(svctoken_config_set_client_secret_2, text); }
    Config &private_key(const std::string &text) { return set(svctoken_config_set_private_key, text); }
    Config &private_key_file(const std::string &text) { return set(svctoken_config_set_private_key_file, text); }
    Config &key_id(const std::string &text) { return set(svctoken_config_set_key_id, text); }
    Config &access_token(const std::string &text) { return set(svctoken_config_set_access_token, text); }
    Config &token_url(const std::string &text) { return set(svctoken_config_set_token_url, text); }
    Config &issuer(const std::string &text) { return set(svctoken_config_set_issuer, text); }
    Config &revocation_url(const std::string &text) { return set(svctoken_config_set_revocation_url, text); }
    Config &introspection_url(const std::string &text) { return set(svctoken_config_set_introspection_url, text); }
    Config &base_url(const std::string &text) { return set(svctoken_config_set_base_url, text); }
    // Adds one.
    Config &allowed_origin(const std::string &text) { return set(svctoken_config_add_allowed_origin, text); }
    Config &auth_method(const std::string &text) { return set(svctoken_config_set_auth_method, text); }
    Config &auth_encoding(const std::string &text) { return set(svctoken_config_set_auth_encoding, text); }
    Config &signing_alg(const std::string &text) { return set(svctoken_config_set_signing_alg, text); }
    Config &assertion_audience(const std::string &text) { return set(svctoken_config_set_assertion_audience, text); }
    Config &scope(const std::string &text) { return set(svctoken_config_set_scope, text); }
    Config &audience(const std::string &text) { return set(svctoken_config_set_audience, text); }
    // Adds one.
    Config &resource(const std::string &text) { return set(svctoken_config_add_resource, text); }
    // Adds one.
    Config &extra_param(const std::string &name, const std::string &text) {
        return add(svctoken_config_add_extra_param, name, text);
    }
    Config &timeout(milliseconds time) { return set(svctoken_config_set_timeout, time); }
    Config &connect_timeout(milliseconds time) { return set(svctoken_config_set_connect_timeout, time); }
    Config &token_timeout(milliseconds time) { return set(svctoken_config_set_token_timeout, time); }
    Config &cache(const std::string &text) { return set(svctoken_config_set_cache, text); }
    Config &accept(const std::string &text) { return set(svctoken_config_set_accept, text); }
    Config &user_agent(const std::string &text) { return set(svctoken_config_set_user_agent, text); }
    // Adds one.
    Config &header(const std::string &name, const std::string &text) {
        return add(svctoken_config_add_header, name, text);
    }
    Config &max_attempts(std::uint64_t count) { return set(svctoken_config_set_max_attempts, count); }
    Config &mint_budget(std::uint64_t count) { return set(svctoken_config_set_mint_budget, count); }
    Config &max_response_bytes(std::uint64_t count) { return set(svctoken_config_set_max_response_bytes, count); }
    Config &allow_http(bool flag) { return set(svctoken_config_set_allow_http, flag); }
    Config &proxy(const std::string &text) { return set(svctoken_config_set_proxy, text); }
    Config &ca_file(const std::string &text) { return set(svctoken_config_set_ca_file, text); }
    Config &client_cert_file(const std::string &text) { return set(svctoken_config_set_client_cert_file, text); }
    Config &client_key_file(const std::string &text) { return set(svctoken_config_set_client_key_file, text); }
    // Has the log events of the clients made with this config handed to `callback`; an empty one ends that. It is called
    // on the threads that use a client and on one of the library's own, several at once, and calls wait for it. It must
    // not use a client of the same options. What it throws is caught and forgotten. It is destroyed when it will not be
    // called any more, maybe a moment after its clients, on the library's own thread.
    Config &on_log(std::function<void(const LogEvent &)> callback) {
        if (!callback) {
            svctoken_config_set_log(config_.get(), nullptr, nullptr, nullptr);
            return *this;
        }
        auto owned = std::make_unique<LogCallback>(std::move(callback));
        if (svctoken_config_set_log(config_.get(), log, owned.get(), release_log) == SVCTOKEN_OK) owned.release();
        return *this;
    }

private:
    friend class Client;
    using LogCallback = std::function<void(const LogEvent &)>;
    using SecretCallback = std::function<std::string()>;

    static void log(const svctoken_log_event *event, void *callback) noexcept {
        try {
            (*static_cast<const LogCallback *>(callback))(LogEvent(event));
        } catch (...) {
            // There is nobody to tell: the frames above belong to the library.
        }
    }
    static void secret(svctoken_secret_answer *answer, void *callback) noexcept {
        try {
            const std::string text = (*static_cast<const SecretCallback *>(callback))();
            // Cut at its NUL, it would be another one.
            const bool is_whole = text.find('\0') == std::string::npos;
            if (is_whole) svctoken_secret_answer_set(answer, text.c_str());
            else svctoken_secret_answer_fail(answer, "its text has a NUL");
        } catch (const std::exception &error) {
            svctoken_secret_answer_fail(answer, error.what());
        } catch (...) {
            svctoken_secret_answer_fail(answer, "it threw what is no std::exception");
        }
    }
    static void release_secret(void *callback) noexcept { delete static_cast<SecretCallback *>(callback); }
    static void release_log(void *callback) noexcept { delete static_cast<LogCallback *>(callback); }

    // The setters' codes are not looked at: the client's constructor throws the first of them with its text.
    Config &set(svctoken_code (*setter)(svctoken_config *, const char *), const std::string &text) {
        setter(config_.get(), detail::c_text(text));
        return *this;
    }
    Config &set(svctoken_code (*setter)(svctoken_config *, std::int64_t), milliseconds time) {
        setter(config_.get(), time.count());
        return *this;
    }
    Config &set(svctoken_code (*setter)(svctoken_config *, std::uint64_t), std::uint64_t count) {
        setter(config_.get(), count);
        return *this;
    }
    Config &set(svctoken_code (*setter)(svctoken_config *, bool), bool flag) {
        setter(config_.get(), flag);
        return *this;
    }
    Config &add(svctoken_code (*setter)(svctoken_config *, const char *, const char *), const std::string &name,
                const std::string &text) {
        setter(config_.get(), detail::c_text(name), detail::c_text(text));
        return *this;
    }

    std::shared_ptr<svctoken_config> config_;
};

// Options of one call, or of any number of calls. Calls that get a token heed timeout and cancel; requests heed all.
class Options {
public:
    Options() : options_(detail::made(svctoken_options_new()), svctoken_options_free) {}
    // Without moves: what is moved from is copied, and never empty.
    Options(const Options &) = default;
    Options &operator=(const Options &) = default;

    // How long the whole call may take, above zero. Default: the client's timeout.
    Options &timeout(std::chrono::milliseconds time) {
        svctoken_options_set_timeout(options_.get(), time.count());
        return *this;
    }
    // Lets the token end the call.
    Options &cancel(const CancelToken &token) {
        svctoken_options_set_cancel(options_.get(), token.cancel_.get());
        return *this;
    }
    // The Accept header. Default: the client's.
    Options &accept(const std::string &text) {
        svctoken_options_set_accept(options_.get(), detail::c_text(text));
        return *this;
    }
    // The body, copied, without a Content-Type.
    Options &body(std::string_view bytes) {
        svctoken_options_set_body(options_.get(), bytes.data(), bytes.size(), nullptr);
        return *this;
    }
    // The body, copied, and its Content-Type.
    Options &body(std::string_view bytes, const std::string &content_type) {
        svctoken_options_set_body(options_.get(), bytes.data(), bytes.size(), given_type(content_type));
        return *this;
    }
    // The body: the file at that path, read while it is sent, in memory that does not grow. See
    // svctoken_options_set_body_file.
    Options &body_file(const std::string &path) {
        svctoken_options_set_body_file(options_.get(), detail::c_text(path), nullptr);
        return *this;
    }
    Options &body_file(const std::string &path, const std::string &content_type) {
        svctoken_options_set_body_file(options_.get(), detail::c_text(path), given_type(content_type));
        return *this;
    }
    // The body: what `read(buffer, size)` gives while it is sent: it puts at most `size` bytes into `buffer` and returns how
    // many, 0 at the end. Without `length` it goes in chunks. `rewind` begins anew, and returns false if it cannot; without
    // it, what was begun to be read is not sent again. Its Content-Type, if any, is a header. What `read` throws ends the
    // call, and comes out of it as it was; what `rewind` throws counts as false. Both are called on the thread of the call, for one call at a time. See
    // svctoken_options_set_body_callback.
    Options &body_from(std::function<std::size_t(char *, std::size_t)> read,
                       std::optional<std::uint64_t> length = std::nullopt, std::function<bool()> rewind = {}) {
        const bool rewinds = static_cast<bool>(rewind);
        auto owned = std::make_unique<detail::Body>(detail::Body{std::move(read), std::move(rewind)});
        const auto code = svctoken_options_set_body_callback(
            options_.get(), owned->read ? detail::Body::read_some : nullptr, rewinds ? detail::Body::begin_anew : nullptr,
            length ? static_cast<std::int64_t>(*length) : -1, nullptr, owned.get(), detail::Body::release);
        if (code == SVCTOKEN_OK) owned.release();
        return *this;
    }
    // As body_from, of what is left of a stream, for one call. If it can seek, its length is known without being told, and
    // what was begun to be read is sent again from there. A stream that failed before, as one of a file that could not be
    // opened, is a std::ios_base::failure of the call. The stream must outlive the call; its buffer is read, not its state.
    Options &body_from(std::istream &stream, std::optional<std::uint64_t> length = std::nullopt) {
        const auto read = [&stream](char *buffer, std::size_t size) {
            if (stream.bad() || (stream.fail() && !stream.eof())) {
                throw std::ios_base::failure("the body's stream failed before it was read");
            }
            return static_cast<std::size_t>(stream.rdbuf()->sgetn(buffer, static_cast<std::streamsize>(size)));
        };
        const auto nowhere = std::istream::pos_type(std::istream::off_type(-1));
        const auto seek = [&stream](std::istream::off_type to, std::ios_base::seekdir from) {
            return stream.rdbuf()->pubseekoff(to, from, std::ios_base::in);
        };
        const auto start = stream.good() ? seek(0, std::ios_base::cur) : nowhere;
        if (start == nowhere) return body_from(read, length);
        const auto end = seek(0, std::ios_base::end);
        const auto rewind = [&stream, start] { return stream.rdbuf()->pubseekpos(start, std::ios_base::in) == start; };
        if (end == nowhere || !rewind()) return body_from(read, length);
        const auto left = end < start ? 0 : static_cast<std::uint64_t>(end - start);
        return body_from(read, length.value_or(left), rewind);
    }
    // A body of JSON text, copied, as application/json.
    Options &json(std::string_view text) { return body(text, "application/json"); }
    // The largest answer body, after decoding, in bytes. Default: the client's; for a stream none but this.
    Options &max_response_bytes(std::uint64_t count) {
        svctoken_options_set_max_response_bytes(options_.get(), count);
        return *this;
    }
    // How long one StreamingResponse::read may wait for a byte, above zero. Default: 30 s.
    Options &idle_timeout(std::chrono::milliseconds time) {
        svctoken_options_set_idle_timeout(options_.get(), time.count());
        return *this;
    }
    // How often the request is tried in all when the server or the network fails, the first included: 1 to 10; 1 is no
    // retry. Default: the client's.
    Options &max_attempts(std::uint64_t count) {
        svctoken_options_set_max_attempts(options_.get(), count);
        return *this;
    }
    // Says that to send this POST or PATCH twice is as good as once, so that it may be tried again after it has left.
    Options &idempotent(bool idempotent = true) {
        svctoken_options_set_idempotent(options_.get(), idempotent);
        return *this;
    }
    // How many pages of a list are read at most, 1 or more: if there are more, that is an error after the last of them.
    // Default: 1000.
    Options &max_pages(std::uint64_t count) {
        svctoken_options_set_max_pages(options_.get(), count);
        return *this;
    }
    // Has Client::download tell its progress: how many bytes came, and of how many, where the answer tells it. An empty
    // function ends that. What it throws ends the call, and comes out of it as it was. See svctoken_options_set_progress.
    Options &on_progress(std::function<void(std::uint64_t, std::optional<std::uint64_t>)> callback) {
        if (!callback) {
            svctoken_options_set_progress(options_.get(), nullptr, nullptr, nullptr);
            return *this;
        }
        auto owned = std::make_unique<detail::Progress>(detail::Progress{std::move(callback)});
        const auto code = svctoken_options_set_progress(options_.get(), detail::Progress::tell, owned.get(),
                                                        detail::Progress::release);
        if (code == SVCTOKEN_OK) owned.release();
        return *this;
    }
    // Adds a query parameter, form-encoded, after those there are.
    Options &query(const std::string &name, const std::string &value) {
        svctoken_options_add_query(options_.get(), detail::c_text(name), detail::c_text(value));
        return *this;
    }
    // Adds a field to a form body, application/x-www-form-urlencoded, after those there are. Not beside body or json.
    Options &form(const std::string &name, const std::string &value) {
        svctoken_options_add_form(options_.get(), detail::c_text(name), detail::c_text(value));
        return *this;
    }
    // Adds a header. One of the same name that the client sends by default is replaced; one of these is joined.
    Options &header(const std::string &name, const std::string &value) {
        svctoken_options_add_header(options_.get(), detail::c_text(name), detail::c_text(value));
        return *this;
    }

private:
    friend class Client;
    // The empty type is refused by name, as one with a NUL inside must be.
    static const char *given_type(const std::string &content_type) noexcept {
        const char *type = detail::c_text(content_type);
        return type == nullptr ? "\n" : type;
    }

    std::shared_ptr<svctoken_options> options_;
};

// A token and its facts, as they were when it was got.
struct TokenInfo {
    std::string token;
    // Always "Bearer".
    std::string token_type;
    // What the server granted, if it named it.
    std::optional<std::string> scope;
    // Zero if the token is good for once only.
    std::chrono::milliseconds expires_in;
    // By this machine's wall clock.
    std::chrono::system_clock::time_point expires_at;
};

// An answer, read whole.
class Response {
public:
    // The HTTP status.
    unsigned status() const noexcept { return svctoken_response_status(response_.get()); }
    // Whether the status is 200 to 299.
    bool ok() const noexcept { return svctoken_response_is_ok(response_.get()); }
    // The body's bytes, borrowed.
    std::string_view body() const noexcept {
        return {svctoken_response_body(response_.get()), svctoken_response_body_len(response_.get())};
    }
    // The body as UTF-8, whatever charset the answer's Content-Type names; throws SVCTOKEN_BAD_ANSWER if it is no text.
    std::string text() const {
        detail::Check check;
        const char *text = nullptr;
        std::size_t length = 0;
        check(svctoken_response_text(response_.get(), &text, &length, check));
        return std::string(text, length);
    }
    // The first header of that name, without regard to case.
    std::optional<std::string> header(const std::string &name) const {
        return detail::optional_text(svctoken_response_header(response_.get(), detail::c_text(name)));
    }
    // Every header in order, names in lower case.
    std::vector<std::pair<std::string, std::string>> headers() const {
        std::vector<std::pair<std::string, std::string>> headers;
        const char *name = nullptr;
        const char *value = nullptr;
        for (std::size_t i = 0; svctoken_response_header_at(response_.get(), i, &name, &value); i++) {
            headers.emplace_back(name, value);
        }
        return headers;
    }
    // How many requests were sent for it: the first, those tried again, sent again after a 401, and redirected.
    unsigned attempts() const noexcept { return svctoken_response_attempts(response_.get()); }
    // The URL that answered, with its query: where the last redirect led, if any was followed.
    std::string url() const { return svctoken_response_url(response_.get()); }
    // Throws SVCTOKEN_HTTP_STATUS for a status of 400 or above, with what the body says of it.
    void raise_for_status() const {
        detail::Check check;
        check(svctoken_response_check(response_.get(), check));
    }

protected:
    friend class Client;
    friend class Pages;
    explicit Response(svctoken_response *response) : response_(response) {}
    detail::Handle<svctoken_response, svctoken_response_free> response_;
};

// An answer whose body is read as it comes. body() and text() are only of what was read ahead: nothing below status
// 300, at most 64 KiB above, which read() reads all the same.
class StreamingResponse : public Response {
public:
    // Reads what there is, at most `size` bytes, waiting for the first; 0 is the end. Throws when no byte came for
    // idle_timeout, when cancelled or the connection is lost; what came before was handed out. See
    // svctoken_response_read.
    std::size_t read(void *buffer, std::size_t size) {
        detail::Check check;
        std::size_t length = 0;
        check(svctoken_response_read(response_.get(), buffer, size, &length, check));
        return length;
    }

private:
    friend class Client;
    explicit StreamingResponse(svctoken_response *response) : Response(response) {}
};

// The pages of a list, for a range-based for, once. Each is asked for when the loop comes to it, and is gone with the
// next. Needs no client any more.
class Pages {
public:
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Response;
        using difference_type = std::ptrdiff_t;
        using pointer = Response *;
        using reference = Response &;

        Response &operator*() const noexcept { return *pages_->page_; }
        Response *operator->() const noexcept { return &*pages_->page_; }
        // Asks for the next page; throws what svctoken_pages_next fails with.
        iterator &operator++() {
            if (!pages_->turn()) pages_ = nullptr;
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(const iterator &other) const noexcept { return pages_ == other.pages_; }
        bool operator!=(const iterator &other) const noexcept { return pages_ != other.pages_; }

    private:
        friend class Pages;
        explicit iterator(Pages *pages) : pages_(pages) {}
        Pages *pages_;
    };

    // Asks for the first page; throws what svctoken_pages_next fails with.
    iterator begin() { return ++iterator(this); }
    iterator end() noexcept { return iterator(nullptr); }

private:
    friend class Client;
    explicit Pages(svctoken_pages *pages) : pages_(pages) {}

    bool turn() {
        detail::Check check;
        svctoken_response *response = nullptr;
        page_.reset();
        check(svctoken_pages_next(pages_.get(), &response, check));
        if (response != nullptr) page_ = Response(response);
        return page_.has_value();
    }

    detail::Handle<svctoken_pages, svctoken_pages_free> pages_;
    std::optional<Response> page_;
};

// Gets tokens and makes requests with them. May be used by several threads at once, and in a forked child.
class Client {
public:
    // Of the given options alone: the environment is not read.
    explicit Client(const Config &config) {
        detail::Check check;
        svctoken_client *client = nullptr;
        check(svctoken_client_new(config.config_.get(), &client, check));
        client_.reset(client);
    }
    // MongoDB Atlas, from MONGODB_ATLAS_CLIENT_ID and _CLIENT_SECRET where the options do not say.
    static Client atlas(const Config &config = Config()) {
        detail::Check check;
        svctoken_client *client = nullptr;
        check(svctoken_client_new_atlas(config.config_.get(), &client, check));
        return Client(client);
    }
    // A Keycloak realm. The option base_url is the API, by default the Keycloak server itself.
    static Client keycloak(const std::string &server_url, const std::string &realm, const Config &config = Config()) {
        detail::Check check;
        svctoken_client *client = nullptr;
        check(svctoken_client_new_keycloak(detail::c_text(server_url), detail::c_text(realm), config.config_.get(),
                                           &client, check));
        return Client(client);
    }
    // The server with that issuer identifier, whose metadata names its endpoints.
    static Client issuer(const std::string &issuer, const Config &config = Config()) {
        detail::Check check;
        svctoken_client *client = nullptr;
        check(svctoken_client_new_issuer(detail::c_text(issuer), config.config_.get(), &client, check));
        return Client(client);
    }
    // SVCTOKEN_ and an option's name in upper case, times in seconds; or as atlas where its variables are set.
    static Client from_env(const Config &config = Config()) {
        detail::Check check;
        svctoken_client *client = nullptr;
        check(svctoken_client_new_from_env(config.config_.get(), &client, check));
        return Client(client);
    }

    // The access token: from memory while it is fresh, requested where it is not.
    std::string get_token() const { return token(nullptr); }
    std::string get_token(const Options &options) const { return token(options.options_.get()); }

    // The token and its facts.
    TokenInfo get_token_info() const { return token_info(nullptr); }
    TokenInfo get_token_info(const Options &options) const { return token_info(options.options_.get()); }

    // Says that a server refused this token with a 401; true if it was the current one, which will be replaced.
    bool invalidate_token(const std::string &token) const {
        detail::Check check;
        bool was_current = false;
        check(svctoken_client_invalidate_token(client_.get(), detail::c_text(token), &was_current, check));
        return was_current;
    }

    // Revokes the access token at the server and forgets it; false, and nothing is done, if there is none. A client that
    // ends never revokes: call this before. See svctoken_client_revoke.
    bool revoke() const { return revoked(nullptr); }
    bool revoke(const Options &options) const { return revoked(options.options_.get()); }

    // What the server knows of the current token, or of the given one, as its JSON text with at least "active". See
    // svctoken_client_introspect.
    std::string introspect() const { return introspected(nullptr, nullptr); }
    std::string introspect(const Options &options) const { return introspected(nullptr, options.options_.get()); }
    std::string introspect(const std::string &token) const { return introspected(&token, nullptr); }
    std::string introspect(const std::string &token, const Options &options) const {
        return introspected(&token, options.options_.get());
    }

    // Forgets the token in this process and in the store, what failed before, and the hold: the next call requests a
    // token. The server is not asked. See svctoken_client_clear_cache.
    void clear_cache() const {
        detail::Check check;
        check(svctoken_client_clear_cache(client_.get(), check));
    }

    // Makes a request with the token. Any HTTP status is an answer; see Response::raise_for_status. `url` is a path on
    // base_url's origin, or a URL of that origin or of one of allowed_origins.
    Response request(const std::string &method, const std::string &url) const { return send(method, url, nullptr); }
    Response request(const std::string &method, const std::string &url, const Options &options) const {
        return send(method, url, options.options_.get());
    }

    // As request, with the body left to be read as it comes: the timeout runs to the answer's head. See
    // svctoken_client_request_stream.
    StreamingResponse request_stream(const std::string &method, const std::string &url) const {
        return send_streaming(method, url, nullptr);
    }
    StreamingResponse request_stream(const std::string &method, const std::string &url, const Options &options) const {
        return send_streaming(method, url, options.options_.get());
    }

    // As request_stream, with the body of an answer of 200 to 299 written to the file at `path`, which is there whole or not
    // at all; the response has no body then. See svctoken_client_download.
    Response download(const std::string &method, const std::string &url, const std::string &path) const {
        return downloaded(method, url, path, nullptr);
    }
    Response download(const std::string &method, const std::string &url, const std::string &path,
                      const Options &options) const {
        return downloaded(method, url, path, options.options_.get());
    }

    // The pages of a list: for (auto &page : client.pages("/api/atlas/v2/groups")). The answer to a GET request, and then
    // those that each page names as its next, on the same origin. Any HTTP status is a page. See svctoken_pages_next.
    Pages pages(const std::string &url) const { return paged(url, nullptr); }
    Pages pages(const std::string &url, const Options &options) const { return paged(url, options.options_.get()); }

    // What was done so far, by name.
    std::map<std::string, std::uint64_t> stats() const {
        detail::Check check;
        svctoken_stats *made = nullptr;
        check(svctoken_client_get_stats(client_.get(), &made, check));
        const detail::Handle<svctoken_stats, svctoken_stats_free> stats(made);
        std::map<std::string, std::uint64_t> counters;
        const char *name = nullptr;
        std::uint64_t count = 0;
        for (std::size_t i = 0; svctoken_stats_at(stats.get(), i, &name, &count); i++) counters.emplace(name, count);
        return counters;
    }

private:
    explicit Client(svctoken_client *client) : client_(client) {}

    std::string token(const svctoken_options *options) const {
        detail::Check check;
        char *text = nullptr;
        check(svctoken_client_get_token(client_.get(), options, &text, check));
        const detail::Handle<char, svctoken_string_free> owned(text);
        return owned.get();
    }

    TokenInfo token_info(const svctoken_options *options) const {
        detail::Check check;
        svctoken_token_info *made = nullptr;
        check(svctoken_client_get_token_info(client_.get(), options, &made, check));
        const detail::Handle<svctoken_token_info, svctoken_token_info_free> info(made);
        using std::chrono::milliseconds;
        const milliseconds since_epoch(svctoken_token_info_expires_at_unix_ms(info.get()));
        return {svctoken_token_info_token(info.get()), svctoken_token_info_type(info.get()),
                detail::optional_text(svctoken_token_info_scope(info.get())),
                milliseconds(svctoken_token_info_expires_in_ms(info.get())),
                std::chrono::system_clock::time_point(since_epoch)};
    }

    std::string introspected(const std::string *token, const svctoken_options *options) const {
        detail::Check check;
        char *text = nullptr;
        // The empty token is refused by name, as one with a NUL inside must be.
        const char *given = token == nullptr ? nullptr : detail::c_text(*token);
        if (token != nullptr && given == nullptr) given = "";
        check(svctoken_client_introspect(client_.get(), given, options, &text, check));
        const detail::Handle<char, svctoken_string_free> owned(text);
        return owned.get();
    }

    bool revoked(const svctoken_options *options) const {
        detail::Check check;
        bool done = false;
        check(svctoken_client_revoke(client_.get(), options, &done, check));
        return done;
    }

    Response send(const std::string &method, const std::string &url, const svctoken_options *options) const {
        detail::Check check;
        svctoken_response *response = nullptr;
        const auto code = svctoken_client_request(client_.get(), detail::c_text(method), detail::c_text(url), options,
                                                  &response, check);
        detail::rethrow();
        check(code);
        return Response(response);
    }

    StreamingResponse send_streaming(const std::string &method, const std::string &url,
                                     const svctoken_options *options) const {
        detail::Check check;
        svctoken_response *response = nullptr;
        const auto code = svctoken_client_request_stream(client_.get(), detail::c_text(method), detail::c_text(url),
                                                         options, &response, check);
        detail::rethrow();
        check(code);
        return StreamingResponse(response);
    }

    Response downloaded(const std::string &method, const std::string &url, const std::string &path,
                        const svctoken_options *options) const {
        detail::Check check;
        svctoken_response *response = nullptr;
        const auto code = svctoken_client_download(client_.get(), detail::c_text(method), detail::c_text(url),
                                                   detail::c_text(path), options, &response, check);
        detail::rethrow();
        check(code);
        return Response(response);
    }

    Pages paged(const std::string &url, const svctoken_options *options) const {
        detail::Check check;
        svctoken_pages *pages = nullptr;
        check(svctoken_pages_new(client_.get(), detail::c_text(url), options, &pages, check));
        return Pages(pages);
    }

    detail::Handle<svctoken_client, svctoken_client_free> client_;
};

// The library's version at run time, such as "0.1.0".
inline std::string version() { return svctoken_version(); }

namespace testing {

// Moves svctoken's clock forward for the whole process. Only for tests.
inline void advance_clock(std::chrono::milliseconds by) {
    if (svctoken_testing_advance_clock(by.count()) != SVCTOKEN_OK) {
        throw std::invalid_argument("svctoken: the clock goes forward only");
    }
}

} // namespace testing

} // namespace svctoken

#endif // SVCTOKEN_HPP
