/* banned - functions that invite mistakes; using one is a compile error. Included before every file by the build.
 *
 *   no bound               strcpy strcat sprintf vsprintf gets      use snprintf, memcpy, buf
 *   misleading bound       strncpy strncat                          use snprintf, memcpy
 *   no error               atoi atol atoll atof                     use strtol and its kin, and check
 *   hidden shared state    strtok asctime ctime gmtime localtime    use strtok_r, gmtime_r
 *   a shell, a race        system popen tmpnam mktemp               use execv, mkstemp */
#ifndef ENGINE_BASE_BANNED_H
#define ENGINE_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef strcpy
#undef strcat
#undef sprintf
#undef vsprintf
#undef strncpy
#undef strncat
#undef strtok

#define strcpy(...)    banned_strcpy_see_engine_base_banned_h
#define strcat(...)    banned_strcat_see_engine_base_banned_h
#define sprintf(...)   banned_sprintf_see_engine_base_banned_h
#define vsprintf(...)  banned_vsprintf_see_engine_base_banned_h
#define gets(...)      banned_gets_see_engine_base_banned_h
#define strncpy(...)   banned_strncpy_see_engine_base_banned_h
#define strncat(...)   banned_strncat_see_engine_base_banned_h
#define atoi(...)      banned_atoi_see_engine_base_banned_h
#define atol(...)      banned_atol_see_engine_base_banned_h
#define atoll(...)     banned_atoll_see_engine_base_banned_h
#define atof(...)      banned_atof_see_engine_base_banned_h
#define strtok(...)    banned_strtok_see_engine_base_banned_h
#define asctime(...)   banned_asctime_see_engine_base_banned_h
#define ctime(...)     banned_ctime_see_engine_base_banned_h
#define gmtime(...)    banned_gmtime_see_engine_base_banned_h
#define localtime(...) banned_localtime_see_engine_base_banned_h
#define system(...)    banned_system_see_engine_base_banned_h
#define popen(...)     banned_popen_see_engine_base_banned_h
#define tmpnam(...)    banned_tmpnam_see_engine_base_banned_h
#define mktemp(...)    banned_mktemp_see_engine_base_banned_h

#endif
