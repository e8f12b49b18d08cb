// The part of XLA's foreign function interface that is used here: of xla/ffi/api/c_api.h and of
// xla/pjrt/c/pjrt_c_api_ffi_extension.h in github.com/openxla/xla, which go-xla does not bring. XLA keeps both
// compatible: a struct only grows at its end, and says how large it is.

#include <stddef.h>
#include <stdint.h>

#include "pjrt_c_api.h"

enum { XLA_FFI_API_MAJOR = 0, XLA_FFI_API_MINOR = 3 }; // the version of these structs

enum { XLA_FFI_Extension_Metadata = 1 };

typedef struct XLA_FFI_Extension_Base {
  size_t struct_size;
  int type;
  struct XLA_FFI_Extension_Base *next;
} XLA_FFI_Extension_Base;

typedef struct {
  size_t struct_size;
  XLA_FFI_Extension_Base *extension_start;
  int major_version, minor_version;
} XLA_FFI_Api_Version;

typedef struct {
  XLA_FFI_Extension_Base extension_base;
  struct {
    size_t struct_size;
    XLA_FFI_Api_Version api_version;
  } *metadata;
} XLA_FFI_Metadata_Extension;

typedef struct XLA_FFI_Error XLA_FFI_Error;

enum { XLA_FFI_Error_Code_INTERNAL = 13 };

typedef struct {
  size_t struct_size;
  XLA_FFI_Extension_Base *extension_start;
  const char *message;
  int code;
} XLA_FFI_Error_Create_Args;

typedef struct {
  size_t struct_size;
  XLA_FFI_Extension_Base *extension_start;
  XLA_FFI_Error *error;
} XLA_FFI_Error_Destroy_Args;

// A task for one of the threads on which XLA computes.
typedef struct {
  size_t struct_size;
  XLA_FFI_Extension_Base *extension_start;
  void *context;
  void (*task)(void *data);
  void *data;
} XLA_FFI_ThreadPool_Schedule_Args;

typedef struct {
  size_t struct_size;
  XLA_FFI_Extension_Base *extension_start;
  void *context;
  int64_t *num_threads;
} XLA_FFI_ThreadPool_NumThreads_Args;

typedef struct {
  size_t struct_size;
  XLA_FFI_Extension_Base *extension_start;
  XLA_FFI_Api_Version api_version;
  const void *internal_api;
  XLA_FFI_Error *(*XLA_FFI_Error_Create)(XLA_FFI_Error_Create_Args *);
  void *error_get_message;
  void (*XLA_FFI_Error_Destroy)(XLA_FFI_Error_Destroy_Args *);
  void *unused[8];
  XLA_FFI_Error *(*XLA_FFI_ThreadPool_Schedule)(XLA_FFI_ThreadPool_Schedule_Args *);
  XLA_FFI_Error *(*XLA_FFI_ThreadPool_NumThreads)(XLA_FFI_ThreadPool_NumThreads_Args *);
} XLA_FFI_Api;

typedef struct {
  size_t struct_size;
  XLA_FFI_Extension_Base *extension_start;
  int dtype;
  void *data;
} XLA_FFI_Buffer;

typedef struct {
  int dtype;
  size_t size;
  void *data;
} XLA_FFI_Array;

// Arguments and results: types[i] says what values[i] points to.
typedef struct {
  size_t struct_size;
  XLA_FFI_Extension_Base *extension_start;
  int64_t size;
  int *types;
  void **values;
} XLA_FFI_Values;

typedef struct {
  size_t struct_size;
  XLA_FFI_Extension_Base *extension_start;
  int64_t size;
  int *types;
  void **names;
  void **attrs;
} XLA_FFI_Attrs;

typedef struct {
  size_t struct_size;
  XLA_FFI_Extension_Base *extension_start;
  const XLA_FFI_Api *api;
  void *context;
  int stage;
  XLA_FFI_Values args, rets;
  XLA_FFI_Attrs attrs;
} XLA_FFI_CallFrame;

typedef struct {
  size_t struct_size;
  const char *target_name;
  size_t target_name_size;
  void *handler;
  const char *platform_name;
  size_t platform_name_size;
  int traits;
} PJRT_FFI_Register_Handler_Args;

typedef struct {
  PJRT_Extension_Base base;
  void *type_register, *user_data_add;
  PJRT_Error *(*register_handler)(PJRT_FFI_Register_Handler_Args *);
} PJRT_FFI_Extension;
