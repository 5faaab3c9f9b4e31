/* Wrong on purpose: a leak, and with an argument a use after free. Shows that valgrind and the sanitizers would have
 * seen these in the other programs. */
#include "check.h"

int main(int count, char **arguments) {
    (void)arguments;
    svctoken_error *error = NULL;
    svctoken_client *client = NULL;
    if (svctoken_client_new(NULL, &client, &error) == SVCTOKEN_OK) return 1;
    const char *message = svctoken_error_message(error);
    if (count > 1) svctoken_error_free(error);
    error = NULL;
    return message[0] == '\0';
}
