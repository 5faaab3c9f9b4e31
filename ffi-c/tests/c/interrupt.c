/* A SIGINT handler ends a call that waits for a token. Prints how long after the signal the call came back. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <time.h>

#include "check.h"

static svctoken_cancel *cancel;
static struct timespec signalled;

static void on_interrupt(int number) {
    (void)number;
    clock_gettime(CLOCK_MONOTONIC, &signalled);
    svctoken_cancel_trigger(cancel);
}

int main(void) {
    svctoken_client *client = NULL;
    svctoken_options *options = svctoken_options_new();
    cancel = svctoken_cancel_new();
    struct sigaction action = {0};
    action.sa_handler = on_interrupt;
    CHECK(sigaction(SIGINT, &action, NULL) == 0);
    CHECK_OK(svctoken_client_new_atlas(NULL, &client, &error));
    CHECK(svctoken_options_set_cancel(options, cancel) == SVCTOKEN_OK);

    char *token = NULL;
    CHECK_FAILS(SVCTOKEN_CANCELLED, "cancelled", svctoken_client_get_token(client, options, &token, &error));
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK(token == NULL);
    printf("milliseconds=%ld\n",
           (long)(now.tv_sec - signalled.tv_sec) * 1000 + (now.tv_nsec - signalled.tv_nsec) / 1000000);
    svctoken_options_free(options);
    svctoken_client_free(client);
    svctoken_cancel_free(cancel);
    return 0;
}
