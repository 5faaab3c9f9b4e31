// Bodies of requests that the library reads while it sends them, as tests/drivers/README.md says.
#ifndef UPLOAD_HPP
#define UPLOAD_HPP

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <unistd.h>

#include "svctoken.hpp"

// What the fields of a request say of its body.
struct Upload {
    std::string way = "source";
    std::uint64_t count = 0, fails = UINT64_MAX, cancel_at = UINT64_MAX;
    std::optional<std::uint64_t> length;
    // Kept for as long as the call may read it.
    std::shared_ptr<std::ifstream> opened;
    std::shared_ptr<std::string> path;

    // The next bytes, byte i of all being i mod 251.
    std::function<std::size_t(char *, std::size_t)> source(const svctoken::CancelToken &cancel) const {
        return [count = count, fails = fails, cancel_at = cancel_at, cancel,
                position = std::uint64_t{0}](char *buffer, std::size_t size) mutable {
            if (position >= fails) throw std::runtime_error("no more paper");
            if (position >= cancel_at) cancel.cancel();
            const auto most = std::min({std::uint64_t{64 * 1024}, std::uint64_t{size}, count - position, fails - position});
            for (std::uint64_t i = 0; i < most; i++) buffer[i] = static_cast<char>((position + i) % 251);
            position += most;
            return static_cast<std::size_t>(most);
        };
    }

    // False if C++ has no body of that kind.
    bool add_to(svctoken::Options &options, const svctoken::CancelToken &cancel, const std::optional<std::string> &type) {
        if (way == "bytes") {
            std::string bytes;
            write_to([&](const char *piece, std::size_t size) { bytes.append(piece, size); }, cancel);
            options.body(bytes);
            return true;
        }
        if (type) options.header("Content-Type", *type);
        if (way == "source") {
            options.body_from(source(cancel), length);
            return true;
        }
        if (way == "repeatable") {
            const auto begun = std::make_shared<std::function<std::size_t(char *, std::size_t)>>(source(cancel));
            const auto anew = [begun, again = source(cancel)] { return *begun = again, true; };
            options.body_from([begun](char *buffer, std::size_t size) { return (*begun)(buffer, size); }, length, anew);
            return true;
        }
        if (way != "file" && way != "object") return false;
        char name[] = "/tmp/svctoken-driver-XXXXXX";
        const int descriptor = mkstemp(name);
        if (descriptor < 0) throw std::runtime_error("no temporary file");
        close(descriptor);
        path = std::shared_ptr<std::string>(new std::string(name), [](std::string *made) {
            std::remove(made->c_str());
            delete made;
        });
        std::ofstream file(name, std::ios::binary);
        write_to([&](const char *piece, std::size_t size) { file.write(piece, static_cast<std::streamsize>(size)); }, cancel);
        file.close();
        if (way == "file") {
            options.body_file(name);
            return true;
        }
        opened = std::make_shared<std::ifstream>(name, std::ios::binary);
        options.body_from(*opened, length);
        return true;
    }

private:
    void write_to(const std::function<void(const char *, std::size_t)> &write, const svctoken::CancelToken &cancel) const {
        std::string piece(64 * 1024, '\0');
        const auto next = source(cancel);
        while (const std::size_t size = next(piece.data(), piece.size())) write(piece.data(), size);
    }
};

#endif
