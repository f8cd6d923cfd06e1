from torch._dynamo import config as config
