/* clipspan/export.h - how a public symbol is marked. Included by every other public header. */
#ifndef CLIPSPAN_EXPORT_H
#define CLIPSPAN_EXPORT_H

#if defined(__GNUC__)
#define CLIPSPAN_API __attribute__((visibility("default")))
#else
#define CLIPSPAN_API
#endif

#endif
