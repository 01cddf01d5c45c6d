// Command gen writes api/gen from api/proto.
//
//	api/proto/darter/v1/*.proto ─▶ protocompile ─▶ protoc-gen-go      ─┐
//	                                           └─▶ protoc-gen-go-grpc ─┴─▶ api/gen/darter/v1/*.go
//
// It promises the same output for the same input: the compiler and both generators are pinned in this module's go.mod, and
// nothing but Go is needed. With -check it writes nothing and fails when what is committed differs.
//
// It deliberately knows no other language and no plugin of ours.
package main
