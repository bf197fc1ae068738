/* report/map_sheet.h - maps laid over their images as a sheet of tiles, for pictures and terminals. */
#ifndef CLSP_REPORT_MAP_SHEET_H
#define CLSP_REPORT_MAP_SHEET_H

#ifndef CLSP_ROOM_REPORT
#error "report/map_sheet.h is private to the room report"
#endif

#include "clipspan/picture.h"

typedef struct clsp_maps_sheet {
    clipspan_sheet sheet;
    struct clsp_maps_composition *own; /* what the sheet points into, beside the maps and the look */
} clsp_maps_sheet;
/* Close it also after a failure. */
clipspan_status clsp_maps_sheet_open(clsp_maps_sheet *out, const clipspan_maps *maps, const clipspan_maps_look *look,
                                     clipspan_error *err);
void clsp_maps_sheet_close(clsp_maps_sheet *sheet);

#endif
