/* A contestant in C: bench WHAT [--once], see tests/bench/README.md. Compiled twice, because what a program is linked with
 * is loaded when it starts: with svctoken, and with -DPEER and libcurl, for which -DHAVE_CURL says that it is there. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifndef PEER
#include <svctoken.h>
#elif defined HAVE_CURL
#include <curl/curl.h>
#endif

#define PATH "/bytes/1024?anonymous=1"
#define LARGE_PATH "/bytes/8388608?anonymous=1"
#define LARGE 8388608
#define PIECE (64 * 1024)
#define TOKEN_LENGTH 700

static char token[TOKEN_LENGTH + 1];

static long long nanoseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

#ifndef PEER
static svctoken_client *client;
static char copied[16385];
static volatile uint64_t ends = UINT64_MAX;

static void make_client(void) {
    svctoken_error *error = NULL;
    if (svctoken_client_new_atlas(NULL, &client, &error)) fail(svctoken_error_message(error));
}

/* What the fresh path cannot be faster than: the clock, and the copy. */
static __attribute__((noinline)) void copy(void) {
    if ((uint64_t)nanoseconds(CLOCK_BOOTTIME) < ends) memcpy(copied, token, sizeof token);
}

static void get_token(void) {
    svctoken_error *error = NULL;
    if (svctoken_client_copy_token(client, NULL, copied, sizeof copied, NULL, &error)) {
        fail(svctoken_error_message(error));
    }
}

static void make_request(void) {
    svctoken_error *error = NULL;
    svctoken_response *response = NULL;
    if (svctoken_client_request(client, "GET", PATH, NULL, &response, &error)) fail(svctoken_error_message(error));
    if (svctoken_response_status(response) != 200 || svctoken_response_body_len(response) != 1024) fail("wrong answer");
    svctoken_response_free(response);
}

static void read_stream(void) {
    static char piece[PIECE];
    svctoken_error *error = NULL;
    svctoken_response *response = NULL;
    if (svctoken_client_request_stream(client, "GET", LARGE_PATH, NULL, &response, &error)) {
        fail(svctoken_error_message(error));
    }
    size_t received = 0, count = 0;
    do {
        if (svctoken_response_read(response, piece, sizeof piece, &count, &error)) fail(svctoken_error_message(error));
        received += count;
    } while (count > 0);
    if (received != LARGE) fail("wrong answer");
    svctoken_response_free(response);
}
#elif defined HAVE_CURL
static CURL *curl;
static char body[2048];
static size_t received;

static size_t receive(char *data, size_t size, size_t count, void *ignored) {
    (void)ignored;
    if (received + size * count > sizeof body) return 0;
    memcpy(body + received, data, size * count);
    received += size * count;
    return size * count;
}

static size_t count_bytes(char *data, size_t size, size_t count, void *ignored) {
    (void)data, (void)ignored;
    received += size * count;
    return size * count;
}

static void make_curl(const char *path) {
    static char url[1024], header[TOKEN_LENGTH + 64];
    snprintf(url, sizeof url, "%s%s", getenv("MONGODB_ATLAS_BASE_URL"), path);
    snprintf(header, sizeof header, "Authorization: Bearer %s", token);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CAINFO, getenv("SVCTOKEN_CA_FILE"));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, curl_slist_append(NULL, header));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 60000L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
}

static void request_by_curl(void) {
    received = 0;
    if (curl_easy_perform(curl) != CURLE_OK || received != 1024) fail("libcurl failed");
}

static void make_curl_stream(void) {
    make_curl(LARGE_PATH);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, count_bytes);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)PIECE);
}

static void stream_by_curl(void) {
    received = 0;
    if (curl_easy_perform(curl) != CURLE_OK || received != LARGE) fail("libcurl failed");
}
#endif

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "";
    memset(token, 'x', TOKEN_LENGTH);
    void (*once)(void) = NULL;
    if (strcmp(what, "empty") == 0) return 0;
#ifndef PEER
    if (strcmp(what, "copy") == 0) once = copy;
    if (strcmp(what, "token") == 0) make_client(), once = get_token;
    if (strcmp(what, "request") == 0) make_client(), once = make_request;
    if (strcmp(what, "stream") == 0) make_client(), once = read_stream;
#elif defined HAVE_CURL
    if (strcmp(what, "curl") == 0) make_curl(PATH), once = request_by_curl;
    if (strcmp(what, "curl_stream") == 0) make_curl_stream(), once = stream_by_curl;
#endif
    if (once == NULL) {
        printf("missing: this program was built without %s\n", what);
        return 0;
    }
    once();
    if (count > 2) return 0;
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin) != NULL) {
        long times = atol(line);
        long long wall = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
        for (long i = 0; i < times; i++) once();
        printf("%lld %lld\n", nanoseconds(CLOCK_MONOTONIC) - wall, nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
        fflush(stdout);
    }
    return 0;
}
