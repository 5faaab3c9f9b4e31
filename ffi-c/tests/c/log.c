/* Log events: what they hold, their order, and when user_data is released; against a sandbox named by
 * MONGODB_ATLAS_BASE_URL whose first token request fails. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <time.h>

#include "check.h"

#define MOST 16

/* What a program might keep of its events. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char names[MOST][32], facts[MOST][512];
    svctoken_log_severity severities[MOST];
    size_t count;
    int released;
    /* Whether the callback has to wait at a token request, until main has freed everything. */
    bool gate;
} journal;

static void record(const svctoken_log_event *event, void *user_data) {
    journal *j = user_data;
    const char *name = NULL, *value = NULL;
    pthread_mutex_lock(&j->lock);
    CHECK(j->count < MOST && j->released == 0);
    CHECK(strlen(svctoken_log_event_message(event)) > 10);
    CHECK(strstr(svctoken_log_event_message(event), variable("MONGODB_ATLAS_CLIENT_SECRET")) == NULL);
    snprintf(j->names[j->count], sizeof j->names[0], "%s", svctoken_log_event_name(event));
    j->severities[j->count] = svctoken_log_event_severity(event);
    size_t fields = 0, length = 0;
    for (; svctoken_log_event_field_at(event, fields, &name, &value); fields++) {
        CHECK(strstr(value, variable("MONGODB_ATLAS_CLIENT_SECRET")) == NULL);
        length += (size_t)snprintf(j->facts[j->count] + length, sizeof j->facts[0] - length, "%s=%s ", name, value);
        CHECK(length < sizeof j->facts[0]);
    }
    CHECK(fields == svctoken_log_event_field_count(event));
    CHECK(!svctoken_log_event_field_at(event, 0, NULL, &value) && !svctoken_log_event_field_at(event, 0, &name, NULL));
    j->count++;
    while (j->gate && strcmp(svctoken_log_event_name(event), "token_requested") == 0) {
        pthread_cond_wait(&j->changed, &j->lock);
    }
    pthread_mutex_unlock(&j->lock);
}

static void release(void *user_data) {
    journal *j = user_data;
    pthread_mutex_lock(&j->lock);
    j->released++;
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
}

static void wait_for_release(journal *j) {
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 30;
    pthread_mutex_lock(&j->lock);
    while (j->released == 0) CHECK(pthread_cond_timedwait(&j->changed, &j->lock, &limit) == 0);
    CHECK(j->released == 1);
    pthread_mutex_unlock(&j->lock);
}

static svctoken_client *logging_client(journal *j) {
    svctoken_client *client = NULL;
    svctoken_config *config = svctoken_config_new();
    CHECK(svctoken_config_set_log(config, record, j, release) == SVCTOKEN_OK);
    CHECK_OK(svctoken_client_new_atlas(config, &client, &error));
    svctoken_config_free(config);
    return client;
}

static void events_in_order(void) {
    static const struct {
        const char *name;
        svctoken_log_severity severity;
        const char *fact;
    } expected[] = {
        {"token_requested", SVCTOKEN_LOG_DEBUG, "reason=no_token attempt=1 server=http"},
        {"token_request_failed", SVCTOKEN_LOG_WARNING, "error=server_unavailable again_in_ms="},
        {"token_requested", SVCTOKEN_LOG_DEBUG, "attempt=2 "},
        {"token_received", SVCTOKEN_LOG_INFO, " lifetime_ms=3600000 took_ms="},
        {"token_waited", SVCTOKEN_LOG_DEBUG, "took_ms="},
    };
    static journal j = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    svctoken_client *client = logging_client(&j);
    char *token = NULL;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(svctoken_client_get_token(client, NULL, &token, &error));
        svctoken_string_free(token);
    }
    CHECK(j.count == sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < j.count; i++) {
        CHECK(strcmp(j.names[i], expected[i].name) == 0);
        CHECK(j.severities[i] == expected[i].severity);
        CHECK(strstr(j.facts[i], expected[i].fact) != NULL);
    }
    svctoken_client_free(client);
    wait_for_release(&j);
}

/* A token request outlives its client, and so does what its events need. */
static void released_after_the_flight(void) {
    static journal j = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .gate = true};
    svctoken_client *client = logging_client(&j);
    svctoken_options *options = svctoken_options_new();
    char *token = NULL;
    CHECK(svctoken_testing_advance_clock(3600000) == SVCTOKEN_OK);
    CHECK(svctoken_options_set_timeout(options, 200) == SVCTOKEN_OK);
    CHECK_FAILS(SVCTOKEN_TIMEOUT, "timeout", svctoken_client_get_token(client, options, &token, &error));
    svctoken_options_free(options);
    svctoken_client_free(client);
    pthread_mutex_lock(&j.lock);
    CHECK(j.released == 0);
    j.gate = false;
    pthread_cond_broadcast(&j.changed);
    pthread_mutex_unlock(&j.lock);
    wait_for_release(&j);
    CHECK(j.count == 3 && strcmp(j.names[2], "token_received") == 0);
}

int main(void) {
    events_in_order();
    released_after_the_flight();
    return 0;
}
