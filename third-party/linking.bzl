"""How protobuf and SQLite are linked: --//third-party:static, which the wheel sets for what it carries."""

BoolInfo = provider(doc = "The value of a flag.", fields = ["value"])

def _bool_flag_impl(ctx):
    return BoolInfo(value = ctx.build_setting_value)

bool_flag = rule(
    implementation = _bool_flag_impl,
    build_setting = config.bool(flag = True),
    doc = "A flag of this workspace that is true or false.",
)
