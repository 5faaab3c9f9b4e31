/* With SIGPIPE at its default, which ends a program, a server that resets an upload is an error and no more.
 * RESETTING is the origin of a server that reads a little and leaves. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>

#include "check.h"

int main(void) {
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    svctoken_client *client = NULL;
    svctoken_config *config = svctoken_config_new();
    CHECK(svctoken_config_add_allowed_origin(config, variable("RESETTING")) == SVCTOKEN_OK);
    CHECK_OK(svctoken_client_new_atlas(config, &client, &error));

    size_t size = 32 << 20;
    void *body = calloc(1, size);
    svctoken_options *options = svctoken_options_new();
    CHECK(svctoken_options_set_body(options, body, size, "application/octet-stream") == SVCTOKEN_OK);
    free(body);
    svctoken_response *response = NULL;
    CHECK_FAILS(SVCTOKEN_CONNECTION_LOST, "POST",
                svctoken_client_request(client, "POST", variable("RESETTING"), options, &response, &error));
    svctoken_options_free(options);
    svctoken_config_free(config);
    svctoken_client_free(client);
    return 0;
}
