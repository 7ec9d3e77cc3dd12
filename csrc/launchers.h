// The launchers of one backend and its table of them. Included inside the backend's namespace, which is another for
// every instruction set and for CUDA; a name of FC_OPS that the backend does not define is an error when linking.

#define FC_DECLARE(name, Params) void name(const Params&);
FC_OPS(FC_DECLARE)
#undef FC_DECLARE

inline Ops table_of_launchers() {
#define FC_ENTRY(name, Params) name,
  return {FC_OPS(FC_ENTRY)};
#undef FC_ENTRY
}
