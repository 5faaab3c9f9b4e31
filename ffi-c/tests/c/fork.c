/* Fork under load: a warm client, threads busy in the parent, CHILDREN children; both sides check that every body is
 * the asker's own. A child that were to use its parent's connection would read its parent's answers, so there are more
 * connections than busy threads: the sandbox holds the requests of /echo/warm until all have come. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { CHILDREN = 16, REQUESTS_OF_A_CHILD = 60, CONNECTIONS = 12, THREADS = 4 };

static svctoken_client *client;
static atomic_bool over;
static atomic_uint asked, wrong;

/* Counts a request whose answer is not its own. */
static void ask(const char *path, const char *who) {
    svctoken_response *response = NULL;
    svctoken_error *error = NULL;
    svctoken_options *options = svctoken_options_new();
    char own[80];
    snprintf(own, sizeof own, "\"who=%s\"", who);
    svctoken_options_add_query(options, "who", who);
    atomic_fetch_add(&asked, 1);
    if (svctoken_client_request(client, "GET", path, options, &response, &error) != SVCTOKEN_OK) {
        fprintf(stderr, "%s: %s\n", who, svctoken_error_message(error));
        atomic_fetch_add(&wrong, 1);
    } else {
        size_t length = svctoken_response_body_len(response);
        char *body = calloc(1, length + 1);
        memcpy(body, svctoken_response_body(response), length);
        if (svctoken_response_status(response) != 200 || strstr(body, own) == NULL) {
            fprintf(stderr, "%s was given %s\n", who, body);
            atomic_fetch_add(&wrong, 1);
        }
        free(body);
    }
    svctoken_error_free(error);
    svctoken_response_free(response);
    svctoken_options_free(options);
}

static void *keep_asking(void *number) {
    char who[64];
    for (unsigned i = 0; !atomic_load(&over); i++) {
        snprintf(who, sizeof who, "parent-%d-%u", *(int *)number, i);
        ask("/echo", who);
    }
    return NULL;
}

static void *warm(void *unused) {
    (void)unused;
    ask("/echo/warm", "warm");
    return NULL;
}

static int child(int number) {
    char who[64];
    /* A child that hangs must not outlive the test. */
    alarm(60);
    atomic_store(&wrong, 0);
    for (int i = 0; i < REQUESTS_OF_A_CHILD; i++) {
        snprintf(who, sizeof who, "child-%d-%d", number, i);
        ask("/echo", who);
    }
    return atomic_load(&wrong) == 0 ? 0 : 1;
}

int main(void) {
    pthread_t threads[THREADS];
    int numbers[THREADS];
    pid_t children[CHILDREN];
    svctoken_config *config = svctoken_config_new();
    if (getenv("CA_FILE") != NULL) CHECK(svctoken_config_set_ca_file(config, getenv("CA_FILE")) == SVCTOKEN_OK);
    CHECK_OK(svctoken_client_new_atlas(config, &client, &error));
    svctoken_config_free(config);
    pthread_t warming[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++) CHECK(pthread_create(&warming[i], NULL, warm, NULL) == 0);
    for (int i = 0; i < CONNECTIONS; i++) CHECK(pthread_join(warming[i], NULL) == 0);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, keep_asking, &numbers[i]) == 0);
    }
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) _exit(child(i));
    }
    unsigned failed_children = 0;
    for (int i = 0; i < CHILDREN; i++) {
        int status = 0;
        CHECK(waitpid(children[i], &status, 0) == children[i]);
        if (status != 0) failed_children++;
    }
    atomic_store(&over, true);
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    printf("failed_children=%u wrong=%u asked=%u\n", failed_children, atomic_load(&wrong),
           atomic_load(&asked) + CHILDREN * REQUESTS_OF_A_CHILD);
    svctoken_client_free(client);
    return failed_children == 0 && atomic_load(&wrong) == 0 ? 0 : 1;
}
