/* A message is one line of plain characters, whatever comes in with names and texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "base/base.h"

static void commands_no_terminal(void **state)
{
    (void)state;
    clipspan_error err;
    const char *name = "a\nb\rc\033[31md\ae\177f\302\2331mg\303\251\302\240h";
    const char *clean = "a b c [31md e f  1mg\303\251\302\240h"; /* letters beyond ASCII stay */
    clsp_fail(&err, CLIPSPAN_ERROR_IO, "%s", name);
    assert_string_equal(err.message, clean);
    errno = ENOENT;
    clsp_fail_errno(&err, "%s", name);
    assert_memory_equal(err.message, clean, strlen(clean));
    clsp_fail(&err, CLIPSPAN_ERROR_IO, "cut\302");
    assert_string_equal(err.message, "cut\302");
}

static void says_why_nothing_is_there(void **state)
{
    (void)state;
    clipspan_error err;
    assert_int_equal(clsp_fail_absent("/nowhere/at/all", &err), CLIPSPAN_ERROR_IO);
    assert_string_equal(err.message, "/nowhere/at/all: No such file or directory");
    assert_int_equal(clsp_fail_absent("/dev/null", &err), CLIPSPAN_ERROR_IO);
    assert_string_equal(err.message, "/dev/null: neither a regular file nor a folder");
}

static void keeps_the_reason_behind_a_long_path(void **state)
{
    (void)state;
    clipspan_error err;
    char path[5000];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    clsp_fail_absent(path, &err);
    assert_non_null(strstr(err.message, ": File name too long"));
    assert_int_equal(err.message[0], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(commands_no_terminal), cmocka_unit_test(says_why_nothing_is_there),
                                       cmocka_unit_test(keeps_the_reason_behind_a_long_path)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
