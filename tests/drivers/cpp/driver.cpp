// The C++ driver: one command a line in, one answer a line out, as tests/drivers/README.md says. It judges nothing and
// uses svctoken.hpp alone.
//
// g++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -pthread -Iinclude -o driver tests/drivers/cpp/driver.cpp
//     -LLIBRARIES -Wl,-rpath,LIBRARIES -lsvctoken
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "svctoken.hpp"
#include "upload.hpp"

extern char **environ;

namespace {

using std::string;
using std::chrono::milliseconds;

// The test is wrong, not the library.
struct Broken {
    string why;
};

const Broken NOT_EXPRESSIBLE{"not expressible"};

// Lines ---------------------------------------------------------------------------------------------------------

string encoded(const string &bytes) {
    static const string plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?,;@$*()! ";
    static const char digits[] = "0123456789ABCDEF";
    string text;
    for (const char byte : bytes) {
        const auto value = static_cast<unsigned char>(byte);
        if (plain.find(byte) != string::npos) text += byte;
        else (text += '%') += {digits[value / 16], digits[value % 16]};
    }
    return text;
}

string decoded(const string &text) {
    string bytes;
    for (std::size_t i = 0; i < text.size(); i++) {
        if (text[i] == '%' && i + 2 < text.size()) {
            bytes += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
            i += 2;
        } else {
            bytes += text[i];
        }
    }
    return bytes;
}

class Answer {
public:
    explicit Answer(string outcome = "ok") : line_(std::move(outcome)) {}

    Answer &add(const string &key, const string &value) {
        line_ += '\t' + encoded(key) + '=' + encoded(value);
        return *this;
    }
    template <typename T>
    Answer &add_number(const string &key, T number) {
        return add(key, std::to_string(number));
    }
    Answer &add_known(const string &key, const std::optional<string> &value) {
        return value ? add(key, *value) : *this;
    }
    const string &line() const { return line_; }

private:
    string line_;
};

// Whether to show on standard error what a program might print, for the runner to search for secrets.
const bool is_loud = std::getenv("SVCTOKEN_DRIVER_LOUD") != nullptr;

void show(const string &name, const string &text) {
    // In one piece, because other threads show as well.
    if (is_loud) std::cerr << name + ": " + text + '\n';
}

void show(const svctoken::Error &error) {
    show(error.name(), error.what());
    show("stage", error.stage());
    show("next_step", error.next_step());
    show("oauth_error", error.oauth_error().value_or(""));
    show("oauth_error_description", error.oauth_error_description().value_or(""));
    show("api_error_code", error.api_error_code().value_or(""));
}

Answer answer_of(const svctoken::Error &error) {
    show(error);
    Answer answer("error");
    answer.add_number("code", error.code()).add("name", error.name()).add("message", error.what());
    answer.add("stage", error.stage());
    if (error.status()) answer.add_number("status", *error.status());
    answer.add_known("oauth_error", error.oauth_error());
    answer.add_known("oauth_error_description", error.oauth_error_description());
    answer.add_known("api_error_code", error.api_error_code());
    if (error.retry_after()) answer.add_number("retry_after_ms", error.retry_after()->count());
    return answer;
}

// What a command gave: words first, then pairs.
class Fields {
public:
    explicit Fields(const string &line) {
        for (std::size_t begin = 0, end = 0; end != string::npos; begin = end + 1) {
            end = line.find('\t', begin);
            fields_.push_back(line.substr(begin, end == string::npos ? end : end - begin));
        }
    }
    string word() {
        if (next_ == fields_.size()) throw Broken{"a field is missing"};
        return decoded(fields_[next_++]);
    }
    std::optional<std::pair<string, string>> pair() {
        if (next_ == fields_.size()) return std::nullopt;
        const string &field = fields_[next_++];
        const auto equals = field.find('=');
        if (equals == string::npos) throw Broken{"no key=value: " + field};
        return std::pair(decoded(field.substr(0, equals)), decoded(field.substr(equals + 1)));
    }

private:
    std::vector<string> fields_;
    std::size_t next_ = 0;
};

std::optional<string> after(const string &text, const string &prefix) {
    if (text.compare(0, prefix.size(), prefix) != 0) return std::nullopt;
    return text.substr(prefix.size());
}

long long number(const string &text) {
    try {
        std::size_t used = 0;
        const long long value = std::stoll(text, &used);
        if (used == text.size()) return value;
    } catch (const std::logic_error &) {
        // Said below.
    }
    throw NOT_EXPRESSIBLE;
}

std::uint64_t count(const string &text) {
    if (number(text) < 0) throw NOT_EXPRESSIBLE;
    return static_cast<std::uint64_t>(number(text));
}

// Clients -------------------------------------------------------------------------------------------------------

using svctoken::Config;

void set_option(Config &config, const string &key, const string &value) {
    using Setter = std::function<void(Config &, const string &)>;
    const auto text = [](Config &(Config::*set)(const string &)) -> Setter {
        return [set](Config &c, const string &v) { (c.*set)(v); };
    };
    const auto time = [](Config &(Config::*set)(milliseconds)) -> Setter {
        return [set](Config &c, const string &v) { (c.*set)(milliseconds(number(v))); };
    };
    const auto counted = [](Config &(Config::*set)(std::uint64_t)) -> Setter {
        return [set](Config &c, const string &v) { (c.*set)(count(v)); };
    };
    static const std::map<string, Setter> setters = {
        {"client_id", text(&Config::client_id)},
        {"client_secret", text(&Config::client_secret)},
        {"client_secret_file", text(&Config::client_secret_file)},
        {"client_secret_command", text(&Config::client_secret_command)},
        {"client_secret_callback", [](Config &c, const string &v) {
             c.client_secret_callback([v] {
                 std::ifstream file(v);
                 string secret;
                 if (!std::getline(file, secret)) throw std::runtime_error("there is no secret today");
                 return secret;
             });
         }},
        {"client_secret_2", text(&Config::client_secret_2)},
        {"private_key", text(&Config::private_key)},
        {"private_key_file", text(&Config::private_key_file)},
        {"key_id", text(&Config::key_id)},
        {"access_token", text(&Config::access_token)},
        {"token_url", text(&Config::token_url)},
        {"issuer", text(&Config::issuer)},
        {"revocation_url", text(&Config::revocation_url)},
        {"introspection_url", text(&Config::introspection_url)},
        {"base_url", text(&Config::base_url)},
        {"allowed_origins", text(&Config::allowed_origin)},
        {"auth_method", text(&Config::auth_method)},
        {"auth_encoding", text(&Config::auth_encoding)},
        {"signing_alg", text(&Config::signing_alg)},
        {"assertion_audience", text(&Config::assertion_audience)},
        {"scope", text(&Config::scope)},
        {"audience", text(&Config::audience)},
        {"resource", text(&Config::resource)},
        {"timeout", time(&Config::timeout)},
        {"connect_timeout", time(&Config::connect_timeout)},
        {"token_timeout", time(&Config::token_timeout)},
        {"cache", text(&Config::cache)},
        {"accept", text(&Config::accept)},
        {"user_agent", text(&Config::user_agent)},
        {"max_attempts", counted(&Config::max_attempts)},
        {"mint_budget", counted(&Config::mint_budget)},
        {"max_response_bytes", counted(&Config::max_response_bytes)},
        {"allow_http", [](Config &c, const string &v) { c.allow_http(v == "true"); }},
        {"proxy", text(&Config::proxy)},
        {"ca_file", text(&Config::ca_file)},
        {"client_cert_file", text(&Config::client_cert_file)},
        {"client_key_file", text(&Config::client_key_file)},
    };
    const auto bytes = key.find("!bytes");
    const auto setter = setters.find(key.substr(0, bytes));
    if (setter != setters.end()) setter->second(config, value);
    else if (const auto parameter = after(key, "extra_params.")) config.extra_param(*parameter, value);
    else if (const auto header = after(key, "headers.")) config.header(*header, value);
    else throw NOT_EXPRESSIBLE;
}

void clear_environment() {
    std::vector<string> ours;
    for (char **variable = environ; *variable != nullptr; variable++) {
        const string text = *variable;
        if (after(text, "SVCTOKEN_") || after(text, "MONGODB_ATLAS_")) ours.push_back(text.substr(0, text.find('=')));
    }
    for (const string &name : ours) unsetenv(name.c_str());
}

// The events of a client that `events` has not taken yet.
class Journal {
public:
    void keep(const svctoken::LogEvent &event) {
        show(event.name(), event.message());
        for (const auto &[name, text] : event.fields()) show(name, text);
        const std::lock_guard lock(mutex_);
        const string number = std::to_string(count_++) + '.';
        answer_.add(number + "severity", severity_name(event.severity()));
        answer_.add(number + "name", event.name()).add(number + "message", event.message());
        for (const auto &[name, text] : event.fields()) answer_.add(number + name, text);
    }
    Answer take() {
        const std::lock_guard lock(mutex_);
        count_ = 0;
        return std::exchange(answer_, Answer());
    }

private:
    static string severity_name(svctoken_log_severity severity) {
        switch (severity) {
            case SVCTOKEN_LOG_DEBUG: return "debug";
            case SVCTOKEN_LOG_INFO: return "info";
            case SVCTOKEN_LOG_WARNING: return "warning";
            default: return "unknown";
        }
    }

    std::mutex mutex_;
    Answer answer_;
    std::size_t count_ = 0;
};

svctoken::Client make_client(Fields &fields, const std::shared_ptr<Journal> &journal) {
    Config config;
    config.on_log([journal](const svctoken::LogEvent &event) { journal->keep(event); });
    string constructor = "plain", server_url, realm, issuer;
    clear_environment();
    while (const auto field = fields.pair()) {
        const auto &[key, value] = *field;
        if (const auto variable = after(key, "env.")) setenv(variable->c_str(), value.c_str(), 1);
        else if (key == "constructor") constructor = value;
        else if (key == "server_url") server_url = value;
        else if (key == "realm") realm = value;
        else if (constructor == "issuer" && key == "issuer") issuer = value;
        else set_option(config, key, value);
    }
    if (constructor == "plain") return svctoken::Client(config);
    if (constructor == "atlas") return svctoken::Client::atlas(config);
    if (constructor == "keycloak") return svctoken::Client::keycloak(server_url, realm, config);
    if (constructor == "issuer") return svctoken::Client::issuer(issuer, config);
    if (constructor == "from_env") return svctoken::Client::from_env(config);
    throw Broken{"unknown constructor " + constructor};
}

// Calls ---------------------------------------------------------------------------------------------------------

struct Call {
    svctoken::CancelToken cancel;
    std::future<string> outcome;
};

string timed(const std::function<Answer()> &call) {
    using clock = std::chrono::steady_clock;
    const auto began = clock::now();
    const auto elapsed = [began] { return std::chrono::duration_cast<milliseconds>(clock::now() - began).count(); };
    try {
        Answer answer = call();
        return answer.add_number("elapsed_ms", elapsed()).line();
    } catch (const svctoken::Error &error) {
        return answer_of(error).add_number("elapsed_ms", elapsed()).line();
    } catch (const std::exception &error) {
        return Answer("foreign").add("type", "std::exception").add("message", error.what()).line();
    }
}

struct Given {
    svctoken::Options options;
    std::optional<string> token;
    string then;
    // Of a stream: how much is asked for at once, after how many bytes the reader leaves, and after how many it
    // cancels.
    std::uint64_t stream = 0, stop_after = UINT64_MAX, cancel_after = UINT64_MAX;
    // The body is compared with what it should be instead of kept, and memory is measured meanwhile.
    bool measure = false;
    std::optional<std::uint64_t> take;
    std::optional<Upload> upload;
    std::optional<string> download;
    std::optional<std::uint64_t> progress_stop;
};

Given call_options(Fields &fields, const svctoken::CancelToken &cancel) {
    Given given;
    svctoken::Options &options = given.options;
    options.cancel(cancel);
    std::optional<string> body, content_type;
    Upload upload;
    while (const auto field = fields.pair()) {
        const auto &[key, value] = *field;
        if (const auto parameter = after(key, "query.")) options.query(*parameter, value);
        else if (const auto header = after(key, "header.")) options.header(*header, value);
        else if (const auto form = after(key, "form.")) options.form(*form, value);
        else if (key == "then") given.then = value;
        else if (key == "stream") given.stream = count(value);
        else if (key == "stop_after") given.stop_after = count(value);
        else if (key == "cancel_after") given.cancel_after = count(value);
        else if (key == "measure") given.measure = true;
        else if (key == "download") given.download = value;
        else if (key == "progress_stop") given.progress_stop = count(value);
        else if (key == "upload") (given.upload = Upload(), upload.count = count(value));
        else if (key == "upload_as") upload.way = value;
        else if (key == "upload_length") upload.length = count(value);
        else if (key == "upload_fails") upload.fails = count(value);
        else if (key == "upload_cancel") upload.cancel_at = count(value);
        else if (key == "idle_timeout") options.idle_timeout(milliseconds(number(value)));
        else if (key == "timeout") options.timeout(milliseconds(number(value)));
        else if (key == "token") given.token = value;
        else if (key == "accept") options.accept(value);
        else if (key == "take") given.take = count(value);
        else if (key == "max_pages") options.max_pages(count(value));
        else if (key == "max_attempts") options.max_attempts(count(value));
        else if (key == "idempotent") options.idempotent(value == "true");
        else if (key == "max_response_bytes") options.max_response_bytes(count(value));
        else if (key == "json") options.json(value);
        else if (key == "body") body = value;
        else if (key == "content_type") content_type = value;
        else throw NOT_EXPRESSIBLE;
    }
    if (given.upload) {
        if (!upload.add_to(options, cancel, content_type)) throw NOT_EXPRESSIBLE;
        given.upload = upload;
    } else if (content_type) options.body(body.value_or(""), *content_type);
    else if (body) options.body(*body);
    return given;
}

Answer get_token(const svctoken::Client &client, const svctoken::Options &options) {
    return Answer().add("token", client.get_token(options));
}

Answer get_token_info(const svctoken::Client &client, const svctoken::Options &options) {
    const svctoken::TokenInfo info = client.get_token_info(options);
    Answer answer;
    answer.add("token", info.token).add("token_type", info.token_type).add_known("scope", info.scope);
    return answer.add_number("expires_in_ms", info.expires_in.count());
}

Answer revoke(const svctoken::Client &client, const svctoken::Options &options) {
    return Answer().add("result", client.revoke(options) ? "true" : "false");
}

Answer introspect(const svctoken::Client &client, const Given &given) {
    const string json = given.token ? client.introspect(*given.token, given.options) : client.introspect(given.options);
    return Answer().add("body", json);
}

Answer answer_of(const svctoken::Response &response, const string &then) {
    if (then == "check") response.raise_for_status();
    try {
        response.raise_for_status();
    } catch (const svctoken::Error &error) {
        show(error);
    }
    Answer answer;
    answer.add_number("status", response.status()).add_number("attempts", response.attempts());
    answer.add("url", response.url()).add("body", string(response.body()));
    if (then == "text") answer.add("text", response.text());
    for (const auto &[name, value] : response.headers()) answer.add("header." + name, value);
    return answer;
}

Answer request(const svctoken::Client &client, const string &method, const string &url,
               const svctoken::Options &options, const string &then) {
    return answer_of(client.request(method, url, options), then);
}

Answer download(const svctoken::Client &client, const string &method, const string &url, Given given) {
    std::vector<string> told;
    given.options.on_progress([&](std::uint64_t received, std::optional<std::uint64_t> total) {
        told.push_back(std::to_string(received) + '/' + (total ? std::to_string(*total) : "-"));
        if (given.progress_stop && received >= *given.progress_stop) throw std::runtime_error("that is enough");
    });
    Answer answer;
    try {
        answer = answer_of(client.download(method, url, *given.download, given.options), given.then);
    } catch (const svctoken::Error &error) {
        answer = answer_of(error);
    }
    if (!told.empty()) answer.add("progress_first", told.front()).add("progress_last", told.back());
    return answer;
}

// A number of /proc/self/status, in KiB; the peak is forgotten when the present is asked.
std::int64_t memory(const string &name) {
    if (name == "VmRSS") std::ofstream("/proc/self/clear_refs") << "5";
    std::ifstream status("/proc/self/status");
    for (string line; std::getline(status, line);) {
        if (const auto rest = after(line, name + ":")) return std::stoll(*rest);
    }
    return 0;
}

// With the memory that it took.
template <typename Make>
Answer measured(Make make) {
    const std::int64_t begin = memory("VmRSS");
    Answer answer;
    try {
        answer = make();
    } catch (const svctoken::Error &error) {
        answer = answer_of(error);
    }
    return answer.add_number("growth_kib", memory("VmHWM") - begin);
}

Answer request_stream(const svctoken::Client &client, const string &method, const string &url, const Given &given,
                      const svctoken::CancelToken &cancel) {
    svctoken::StreamingResponse response = client.request_stream(method, url, given.options);
    if (given.then == "check") response.raise_for_status();
    string body, piece(given.stream, '\0'), pattern;
    for (std::size_t i = 0; i < given.stream + 251; i++) pattern.push_back(static_cast<char>(i % 251));
    std::uint64_t streamed = 0;
    bool matches = true;
    const std::int64_t begin = given.measure ? memory("VmRSS") : 0;
    const auto add_measured = [&](Answer &answer) {
        answer.add_number("streamed", streamed);
        if (!given.measure) return;
        answer.add("matches", matches ? "true" : "false").add_number("growth_kib", memory("VmHWM") - begin);
    };
    try {
        while (streamed < given.stop_after) {
            const std::size_t length = response.read(piece.data(), piece.size());
            if (length == 0) break;
            if (!given.measure) body.append(piece, 0, length);
            else matches = matches && pattern.compare(streamed % 251, length, piece, 0, length) == 0;
            streamed += length;
            if (streamed >= given.cancel_after) cancel.cancel();
        }
    } catch (const svctoken::Error &error) {
        Answer answer = answer_of(error);
        add_measured(answer);
        return answer;
    }
    Answer answer;
    answer.add_number("status", response.status()).add_number("attempts", response.attempts());
    answer.add("url", response.url()).add("body", body);
    add_measured(answer);
    for (const auto &[name, value] : response.headers()) answer.add("header." + name, value);
    return answer;
}

Answer pages(const svctoken::Client &client, const string &url, const Given &given) {
    Answer answer;
    std::uint64_t count = 0;
    string urls, body;
    unsigned status = 0;
    try {
        for (const svctoken::Response &page : client.pages(url, given.options)) {
            urls += (count++ == 0 ? "" : " ") + page.url();
            status = page.status();
            body = page.body();
            if (given.take == count) break;
        }
    } catch (const svctoken::Error &error) {
        return answer_of(error).add_number("count", count);
    }
    answer.add_number("count", count).add("urls", urls);
    if (count > 0) answer.add_number("status", status).add("body", body);
    return answer;
}

// Commands ------------------------------------------------------------------------------------------------------

class Driver {
public:
    string obey(const string &line) {
        Fields fields(line);
        const string command = fields.word();
        if (command == "client") {
            const string id = fields.word();
            const auto journal = std::make_shared<Journal>();
            clients_.insert_or_assign(id, make_client(fields, journal));
            journals_[id] = journal;
            return Answer().line();
        }
        static const std::set<string> calls = {"get_token", "get_token_info", "introspect", "revoke", "request",
                                           "pages"};
        if (calls.count(command) != 0) return start(command, fields);
        if (command == "wait") {
            const auto call = find(calls_, fields.word(), "call");
            const string outcome = call->second.outcome.get();
            calls_.erase(call);
            return outcome;
        }
        if (command == "cancel") {
            find(calls_, fields.word(), "call")->second.cancel.cancel();
            return Answer().line();
        }
        if (command == "invalidate_token") {
            const svctoken::Client &client = find(clients_, fields.word(), "client")->second;
            return Answer().add("result", client.invalidate_token(fields.word()) ? "true" : "false").line();
        }
        if (command == "clear_cache") {
            find(clients_, fields.word(), "client")->second.clear_cache();
            return Answer().line();
        }
        if (command == "advance") {
            svctoken::testing::advance_clock(milliseconds(number(fields.word())));
            return Answer().line();
        }
        if (command == "stats") {
            Answer answer;
            for (const auto &[name, value] : find(clients_, fields.word(), "client")->second.stats()) {
                answer.add_number(name, value);
            }
            return answer.line();
        }
        if (command == "events") return find(journals_, fields.word(), "client")->second->take().line();
        if (command == "close") {
            clients_.erase(find(clients_, fields.word(), "client"));
            return Answer().line();
        }
        if (command == "describe" || command == "items") throw NOT_EXPRESSIBLE;
        if (command == "quit") return Answer().line();
        throw Broken{"unknown command " + command};
    }

private:
    template <typename T>
    typename std::map<string, T>::iterator find(std::map<string, T> &known, const string &id, const string &what) {
        const auto found = known.find(id);
        if (found == known.end()) throw Broken{"unknown " + what + ' ' + id};
        return found;
    }

    string start(const string &command, Fields &fields) {
        const string id = fields.word();
        const svctoken::Client &client = find(clients_, fields.word(), "client")->second;
        const bool is_request = command == "request";
        const string method = is_request ? fields.word() : "", url = is_request || command == "pages" ? fields.word() : "";
        Call call;
        const Given given = call_options(fields, call.cancel);
        const auto run = [&client, command, method, url, given, cancel = call.cancel] {
            return timed([&] {
                const svctoken::Options &options = given.options;
                if (command == "get_token") return get_token(client, options);
                if (command == "get_token_info") return get_token_info(client, options);
                if (command == "introspect") return introspect(client, given);
                if (command == "revoke") return revoke(client, options);
                if (command == "pages") return pages(client, url, given);
                if (given.stream > 0) return request_stream(client, method, url, given, cancel);
                const auto make = [&] {
                    return given.download ? download(client, method, url, given)
                                          : request(client, method, url, options, given.then);
                };
                return given.measure ? measured(make) : make();
            });
        };
        call.outcome = std::async(std::launch::async, run);
        calls_.insert_or_assign(id, std::move(call));
        return Answer().line();
    }

    std::map<string, svctoken::Client> clients_;
    std::map<string, std::shared_ptr<Journal>> journals_;
    // After the clients, so that no client ends before its calls.
    std::map<string, Call> calls_;
};

} // namespace

int main() {
    Driver driver;
    for (string line; std::getline(std::cin, line);) {
        string answer;
        try {
            answer = driver.obey(line);
        } catch (const svctoken::Error &error) {
            answer = answer_of(error).line();
        } catch (const Broken &broken) {
            answer = Answer("broken").add("message", broken.why).line();
        } catch (const std::exception &error) {
            answer = Answer("foreign").add("type", "std::exception").add("message", error.what()).line();
        }
        std::cout << answer << std::endl;
        if (line == "quit") break;
    }
    // Calls that nobody waited for would hold the exit up.
    std::_Exit(0);
}
